;; Imports a known function with another type.
(module
  (import "enclave" "input_size" (func (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 0)))
