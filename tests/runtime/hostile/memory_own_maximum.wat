;; Refuses itself more memory by its own declared maximum, then traps: not a matter of the execution's bound.
(module
  (memory (export "memory") 1 2)
  (func (export "run") (result i32)
    (drop (memory.grow (i32.const 2)))
    unreachable))
