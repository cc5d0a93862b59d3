;; Writes and writes, and never looks at the answer; ends with a valid object in the first 32 KiB.
(module
  (import "enclave" "output_write" (func $output_write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{}")
  (func (export "run") (result i32)
    (local $times i32)
    (drop (call $output_write (i32.const 0) (i32.const 2)))
    (memory.fill (i32.const 0) (i32.const 32) (i32.const 1024))
    (loop $again
      (drop (call $output_write (i32.const 0) (i32.const 1024)))
      (local.set $times (i32.add (local.get $times) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $times) (i32.const 100))))
    (i32.const 0)))
