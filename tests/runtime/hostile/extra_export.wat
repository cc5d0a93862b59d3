;; Exports more than it may.
(module
  (memory (export "memory") 1)
  (global (export "secret") (mut i32) (i32.const 0))
  (func (export "run") (result i32) (i32.const 0)))
