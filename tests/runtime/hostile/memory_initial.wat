;; Wants 16 MiB from the start.
(module
  (memory (export "memory") 256)
  (func (export "run") (result i32) (i32.const 0)))
