;; Calls itself without end.
(module
  (memory (export "memory") 1)
  (func $deeper (export "run") (result i32) (call $deeper)))
