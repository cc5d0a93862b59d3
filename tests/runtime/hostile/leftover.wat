;; Looks for anything that an earlier run left in its memory or globals (FAIL if so), then leaves its input everywhere.
(module
  (import "enclave" "input_read" (func $input_read (param i32 i32 i32 i32) (result i32)))
  (import "enclave" "output_write" (func $output_write (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $mark (mut i32) (i32.const 0))
  (data (i32.const 65528) "{}")
  (func (export "run") (result i32)
    (local $at i32) (local $found i32)
    (local.set $found (global.get $mark))
    (drop (memory.grow (i32.const 15)))
    (loop $next
      (if (i32.ne (local.get $at) (i32.const 65528))
        (then (local.set $found (i32.or (local.get $found) (i32.load (local.get $at))))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (i32.lt_u (local.get $at) (i32.const 1048576))))
    (global.set $mark (i32.const 1))
    (drop (call $output_write (i32.const 65528) (i32.const 2)))
    (local.set $at (i32.const 0))
    (loop $fill
      (drop (call $input_read (i32.const 0) (i32.const 0) (local.get $at) (i32.const 1024)))
      (local.set $at (i32.add (local.get $at) (i32.const 1024)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const 1048576))))
    (i32.ne (local.get $found) (i32.const 0))))
