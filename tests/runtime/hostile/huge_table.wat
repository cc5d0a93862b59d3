;; Wants a table of ten million entries.
(module
  (table 10000000 funcref)
  (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 0)))
