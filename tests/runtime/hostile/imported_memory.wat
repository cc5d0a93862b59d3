;; Wants a memory from outside.
(module
  (import "enclave" "memory" (memory 1))
  (export "memory" (memory 0))
  (func (export "run") (result i32) (i32.const 0)))
