;; Has an input copied to where its memory ends.
(module
  (import "enclave" "input_read" (func $input_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (call $input_read (i32.const 0) (i32.const 0) (i32.const 65530) (i32.const 100)))
    (i32.const 0)))
