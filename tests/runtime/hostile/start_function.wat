;; Never gets out of its start function: must not run at registration, and is bounded like the rest afterwards.
(module
  (memory (export "memory") 1)
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "run") (result i32) (i32.const 0)))
