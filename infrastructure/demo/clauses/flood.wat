;; Flood: is the newest observed flow above the threshold, and was the one before it?
;;
;; Parameters: threshold (same unit as the observations).
;; Outcome:    ESCALATE  the newest value and its predecessor are above the threshold
;;             TRIGGER   the newest value is
;;             PASS      it isn't
;;             FAIL      fewer than two observations: nothing can be said
;; Output:     rows, threshold, above (rows over the threshold), max and max_at (first row that reached it),
;;             newest, newest_at, and previous where there is one
;;
;; How a clause talks to its enclave. It may import three functions, and nothing else:
;;   input_size(index)                     bytes of that input, -1 if there is none
;;   input_read(index, offset, ptr, len)   copies at most len bytes to ptr; bytes copied, -1 if there is no such input
;;   output_write(ptr, len)                appends to the output; -1 once that is full (32 KiB)
;; It exports its memory and run(), which returns 0 PASS, 1 FAIL, 2 TRIGGER, 3 ESCALATE,
;; -1 the input is not what this clause reads, or -2 a simulation failed (none here).
;;
;; Input 0: observations, ASCII, one `label,value` a line, oldest first. Label: digits and dashes, 4 to 10 characters
;;          (1871, 1982-11, 1854-09-02). Value: a decimal integer of at most 12 digits, possibly negative.
;; Input 1: parameters, one such integer a line. Every line ends in LF. Anything else is an input error (-1).
;; Output:  a JSON object with what was found, so that a reader can compute it again.
;; Only integers are used: every machine gets the same bytes and uses the same fuel.
(module $flood
  (import "enclave" "input_size" (func $input_size (param $index i32) (result i32)))
  (import "enclave" "input_read"
    (func $input_read (param $index i32) (param $offset i32) (param $ptr i32) (param $len i32) (result i32)))
  (import "enclave" "output_write" (func $output_write (param $ptr i32) (param $len i32) (result i32)))

  (data (i32.const 0x00) "rows\00")
  (data (i32.const 0x10) "threshold\00")
  (data (i32.const 0x20) "above\00")
  (data (i32.const 0x30) "max\00")
  (data (i32.const 0x40) "max_at\00")
  (data (i32.const 0x50) "newest\00")
  (data (i32.const 0x60) "newest_at\00")
  (data (i32.const 0x70) "previous\00")

  (func (export "run") (result i32)
    (local $last i32) (local $row i32) (local $above i32) (local $highest i32)
    (if (i32.eqz (call $read_inputs (i32.const 1))) (then (return (i32.const -1))))
    (local.set $last (i32.sub (global.get $rows) (i32.const 1)))
    (loop $next
      (local.set $above (i32.add (local.get $above) (call $over (local.get $row))))
      (if (i64.gt_s (call $value (local.get $row)) (call $value (local.get $highest)))
        (then (local.set $highest (local.get $row))))
      (local.set $row (i32.add (local.get $row) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $row) (global.get $rows))))

    (call $say (i32.const 0x00) (i64.extend_i32_u (global.get $rows)))
    (call $say (i32.const 0x10) (call $parameter (i32.const 0)))
    (call $say (i32.const 0x20) (i64.extend_i32_u (local.get $above)))
    (call $say (i32.const 0x30) (call $value (local.get $highest)))
    (call $say_label (i32.const 0x40) (local.get $highest))
    (call $say (i32.const 0x50) (call $value (local.get $last)))
    (call $say_label (i32.const 0x60) (local.get $last))
    (if (i32.eqz (local.get $last)) (then (return (call $finish (i32.const 1)))))             ;; FAIL
    (call $say (i32.const 0x70) (call $value (i32.sub (local.get $last) (i32.const 1))))
    (if (i32.eqz (call $over (local.get $last))) (then (return (call $finish (i32.const 0))))) ;; PASS
    (call $finish
      (i32.add (i32.const 2) (call $over (i32.sub (local.get $last) (i32.const 1))))))        ;; TRIGGER or ESCALATE

  ;; Is a row above the threshold?
  (func $over (param $row i32) (result i32)
    (i64.gt_s (call $value (local.get $row)) (call $parameter (i32.const 0))))

  ;; ==== reading and writing: the same text in every clause, a test compares them ====
  ;;
  ;; Memory, 5 pages:   0x00000 names for the output    0x01000 output    0x02000 parameters as text
  ;;                    0x03000 parameters, i64 each    0x10000 observations as text, at most 128 KiB
  ;;                    0x30000 rows, 16 bytes each, at most 8,192: i64 value, i32 label's address, i32 its length
  (memory (export "memory") 5)
  (global $at (mut i32) (i32.const 0))            ;; address of the next byte to read
  (global $end (mut i32) (i32.const 0))           ;; first address behind the text that is read
  (global $number (mut i64) (i64.const 0))        ;; what $integer read last
  (global $rows (mut i32) (i32.const 0))          ;; number of rows read
  (global $out (mut i32) (i32.const 0x1000))      ;; address of the next byte of output

  ;; Read both inputs, $parameters lines of the second: 1 if they are of the form above and no third one is there.
  (func $read_inputs (param $parameters i32) (result i32)
    (if (i32.ne (call $input_size (i32.const 2)) (i32.const -1)) (then (return (i32.const 0))))
    (if (i32.eqz (call $load (i32.const 0) (i32.const 0x10000) (i32.const 0x20000))) (then (return (i32.const 0))))
    (if (i32.eqz (call $read_rows)) (then (return (i32.const 0))))
    (if (i32.eqz (call $load (i32.const 1) (i32.const 0x2000) (i32.const 0x1000))) (then (return (i32.const 0))))
    (call $read_parameters (local.get $parameters)))

  ;; Copy a whole input to $place; 0 if it is missing, empty or larger than $room.
  (func $load (param $index i32) (param $place i32) (param $room i32) (result i32)
    (local $size i32)
    (local.set $size (call $input_size (local.get $index)))
    (if (i32.lt_s (local.get $size) (i32.const 1)) (then (return (i32.const 0))))
    (if (i32.gt_s (local.get $size) (local.get $room)) (then (return (i32.const 0))))
    (global.set $at (local.get $place))
    (global.set $end (i32.add (local.get $place) (local.get $size)))
    (i32.eq
      (call $input_read (local.get $index) (i32.const 0) (local.get $place) (local.get $size))
      (local.get $size)))

  (func $read_rows (result i32)
    (local $row i32) (local $label i32) (local $length i32)
    (loop $next
      (if (i32.ge_u (global.get $rows) (i32.const 8192)) (then (return (i32.const 0))))
      (local.set $label (global.get $at))
      (local.set $length (call $label))
      (if (i32.eqz (local.get $length)) (then (return (i32.const 0))))
      (if (i32.eqz (call $accept (i32.const 0x2c))) (then (return (i32.const 0))))        ;; ,
      (if (i32.eqz (call $integer)) (then (return (i32.const 0))))
      (if (i32.eqz (call $accept (i32.const 0x0a))) (then (return (i32.const 0))))        ;; LF
      (local.set $row (call $row (global.get $rows)))
      (i64.store (local.get $row) (global.get $number))
      (i32.store offset=8 (local.get $row) (local.get $label))
      (i32.store offset=12 (local.get $row) (local.get $length))
      (global.set $rows (i32.add (global.get $rows) (i32.const 1)))
      (br_if $next (i32.lt_u (global.get $at) (global.get $end))))
    (i32.const 1))

  (func $read_parameters (param $wanted i32) (result i32)
    (local $index i32)
    (loop $next
      (if (i32.eqz (call $integer)) (then (return (i32.const 0))))
      (if (i32.eqz (call $accept (i32.const 0x0a))) (then (return (i32.const 0))))        ;; LF
      (i64.store (i32.add (i32.const 0x3000) (i32.shl (local.get $index) (i32.const 3))) (global.get $number))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $index) (local.get $wanted))))
    (i32.eq (global.get $at) (global.get $end)))

  ;; Address of a row; its value; a parameter.
  (func $row (param $index i32) (result i32)
    (i32.add (i32.const 0x30000) (i32.shl (local.get $index) (i32.const 4))))
  (func $value (param $index i32) (result i64) (i64.load (call $row (local.get $index))))
  (func $parameter (param $index i32) (result i64)
    (i64.load (i32.add (i32.const 0x3000) (i32.shl (local.get $index) (i32.const 3)))))

  ;; Sum of the values of $count rows from row $first on.
  (func $sum (param $first i32) (param $count i32) (result i64)
    (local $total i64)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (local.set $total
          (i64.add (local.get $total) (call $value (i32.add (local.get $first) (local.get $count)))))
        (br $next)))
    (local.get $total))

  ;; Is a parameter outside [$least, $most]?
  (func $outside (param $index i32) (param $least i64) (param $most i64) (result i32)
    (i32.or
      (i64.lt_s (call $parameter (local.get $index)) (local.get $least))
      (i64.gt_s (call $parameter (local.get $index)) (local.get $most))))

  ;; Step over $byte if it comes next: 1, else 0.
  (func $accept (param $byte i32) (result i32)
    (if (i32.ge_u (global.get $at) (global.get $end)) (then (return (i32.const 0))))
    (if (i32.ne (i32.load8_u (global.get $at)) (local.get $byte)) (then (return (i32.const 0))))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (i32.const 1))

  ;; Step over a digit if one comes next: 0 to 9, else -1.
  (func $digit (result i32)
    (local $digit i32)
    (if (i32.ge_u (global.get $at) (global.get $end)) (then (return (i32.const -1))))
    (local.set $digit (i32.sub (i32.load8_u (global.get $at)) (i32.const 0x30)))
    (if (i32.gt_u (local.get $digit) (i32.const 9)) (then (return (i32.const -1))))
    (global.set $at (i32.add (global.get $at) (i32.const 1)))
    (local.get $digit))

  ;; Read -?(0|[1-9][0-9]{0,11}) into $number: 1, else 0. Never "-0".
  (func $integer (result i32)
    (local $negative i32) (local $digit i32) (local $digits i32) (local $value i64)
    (local.set $negative (call $accept (i32.const 0x2d)))                                 ;; -
    (block $done
      (loop $next
        (local.set $digit (call $digit))
        (br_if $done (i32.lt_s (local.get $digit) (i32.const 0)))
        (if (i32.and (i32.ne (local.get $digits) (i32.const 0)) (i64.eqz (local.get $value)))
          (then (return (i32.const 0))))                                                  ;; a leading zero
        (local.set $digits (i32.add (local.get $digits) (i32.const 1)))
        (if (i32.gt_u (local.get $digits) (i32.const 12)) (then (return (i32.const 0))))
        (local.set $value
          (i64.add (i64.mul (local.get $value) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
        (br $next)))
    (if (i32.eqz (local.get $digits)) (then (return (i32.const 0))))
    (if (i32.and (local.get $negative) (i64.eqz (local.get $value))) (then (return (i32.const 0))))
    (global.set $number
      (select (i64.sub (i64.const 0) (local.get $value)) (local.get $value) (local.get $negative)))
    (i32.const 1))

  ;; Step over a label: its length, else 0.
  (func $label (result i32)
    (local $start i32) (local $length i32)
    (local.set $start (global.get $at))
    (if (i32.lt_s (call $digit) (i32.const 0)) (then (return (i32.const 0))))
    (loop $next
      (br_if $next (i32.ge_s (call $digit) (i32.const 0)))
      (br_if $next (call $accept (i32.const 0x2d))))                                      ;; -
    (local.set $length (i32.sub (global.get $at) (local.get $start)))
    (select
      (local.get $length)
      (i32.const 0)
      (i32.and (i32.ge_u (local.get $length) (i32.const 4)) (i32.le_u (local.get $length) (i32.const 10)))))

  ;; Append a byte; a text that ends in a zero byte; an integer in decimal.
  (func $put (param $byte i32)
    (i32.store8 (global.get $out) (local.get $byte))
    (global.set $out (i32.add (global.get $out) (i32.const 1))))
  (func $put_text (param $text i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (i32.load8_u (local.get $text))))
        (call $put (i32.load8_u (local.get $text)))
        (local.set $text (i32.add (local.get $text) (i32.const 1)))
        (br $next))))
  (func $put_decimal (param $value i64)
    (if (i64.lt_s (local.get $value) (i64.const 0))
      (then
        (call $put (i32.const 0x2d))                                                      ;; -
        (local.set $value (i64.sub (i64.const 0) (local.get $value)))))
    (if (i64.ge_u (local.get $value) (i64.const 10))
      (then (call $put_decimal (i64.div_u (local.get $value) (i64.const 10)))))
    (call $put (i32.add (i32.const 0x30) (i32.wrap_i64 (i64.rem_u (local.get $value) (i64.const 10))))))

  ;; Append a member of the JSON object: `{` or `,`, its name in quotes, and `:`.
  (func $name (param $name i32)
    (call $put (select (i32.const 0x7b) (i32.const 0x2c) (i32.eq (global.get $out) (i32.const 0x1000))))
    (call $put (i32.const 0x22))
    (call $put_text (local.get $name))
    (call $put (i32.const 0x22))
    (call $put (i32.const 0x3a)))
  (func $say (param $name i32) (param $value i64)
    (call $name (local.get $name))
    (call $put_decimal (local.get $value)))
  (func $say_label (param $name i32) (param $row i32)
    (local $byte i32) (local $left i32)
    (call $name (local.get $name))
    (local.set $byte (i32.load offset=8 (call $row (local.get $row))))
    (local.set $left (i32.load offset=12 (call $row (local.get $row))))
    (call $put (i32.const 0x22))
    (loop $next
      (call $put (i32.load8_u (local.get $byte)))
      (local.set $byte (i32.add (local.get $byte) (i32.const 1)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $next (local.get $left)))
    (call $put (i32.const 0x22)))

  ;; Close the object, hand it over, and pass $outcome on.
  (func $finish (param $outcome i32) (result i32)
    (call $put (i32.const 0x7d))                                                          ;; }
    (drop (call $output_write (i32.const 0x1000) (i32.sub (global.get $out) (i32.const 0x1000))))
    (local.get $outcome))
)
