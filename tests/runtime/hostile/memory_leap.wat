;; Asks once for far more than it is given, and traps while its memory still is one page.
(module
  (memory (export "memory") 1)
  (func (export "run") (result i32)
    (drop (memory.grow (i32.const 60000)))
    unreachable))
