package seal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"
)

// What clients read most often is made here without what pgtype needs for all that
// there can be; what is not plain falls to that.

// AppendBinary appends a value, which is as Canonical gives it, in PostgreSQL's
// binary format.
func AppendBinary(dst []byte, typ string, canonical []byte) ([]byte, error) {
	out, ok := dst, false
	switch typ {
	case "text", "varchar", "bytea", "json":
		return append(dst, canonical...), nil
	case "jsonb":
		return append(append(dst, 1), canonical...), nil
	case "date":
		var t time.Time
		if t, ok = plainDate(canonical); ok {
			out = binary.BigEndian.AppendUint32(dst, uint32(int32(t.Unix()/86400-daysTo2000)))
		}
	case "numeric":
		out, ok = appendNumeric(dst, canonical)
	case "int2", "int4", "int8":
		out, ok = appendInteger(dst, typ, canonical)
	case "uuid":
		if ok = isUUID(canonical); ok {
			out = appendUUID(dst, canonical)
		}
	}
	if ok {
		return out, nil
	}
	return recoded(dst, typ, canonical, textFormat, binaryFormat)
}

// daysTo2000 is the day that PostgreSQL counts from, in days of Unix.
const daysTo2000 = 10957

// plainDate reads a day of our era that is written as 2006-01-02.
func plainDate(s []byte) (t time.Time, ok bool) {
	if len(s) != len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	var parts [3]int
	for i, part := range [][]byte{s[:4], s[5:7], s[8:]} {
		for _, c := range part {
			if c < '0' || c > '9' {
				return t, false
			}
			parts[i] = 10*parts[i] + int(c-'0')
		}
	}
	t = time.Date(parts[0], time.Month(parts[1]), parts[2], 0, 0, 0, 0, time.UTC)
	y, m, d := t.Date()
	return t, parts[0] > 0 && y == parts[0] && int(m) == parts[1] && d == parts[2]
}

// isUUID tells whether a UUID is written as PostgreSQL writes it.
func isUUID(s []byte) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

func appendUUID(dst, s []byte) []byte {
	for _, part := range [][]byte{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		dst, _ = hex.AppendDecode(dst, part) // its digits were looked at
	}
	return dst
}

func appendInteger(dst []byte, typ string, s []byte) ([]byte, bool) {
	n, err := strconv.ParseInt(string(s), 10, int(oids[typ].size)*8)
	switch {
	case err != nil:
		return dst, false
	case typ == "int2":
		return binary.BigEndian.AppendUint16(dst, uint16(n)), true
	case typ == "int4":
		return binary.BigEndian.AppendUint32(dst, uint32(n)), true
	default:
		return binary.BigEndian.AppendUint64(dst, uint64(n)), true
	}
}

// isNumeric tells whether a number is written as Canonical writes it.
func isNumeric(s []byte) bool {
	digits, negative := bytes.CutPrefix(s, []byte("-"))
	whole, behind, point := bytes.Cut(digits, []byte("."))
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' || point && len(behind) == 0 {
		return false
	}
	zero := true
	for i, c := range digits {
		if (c < '0' || c > '9') && i != len(whole) {
			return false
		}
		zero = zero && (c == '0' || c == '.')
	}
	return !negative || !zero
}

// appendNumeric writes a number as numeric_recv in PostgreSQL's numeric.c reads it:
// digits of base 10000, of which neither the first nor the last is zero.
func appendNumeric(dst, s []byte) ([]byte, bool) {
	if !isNumeric(s) {
		return dst, false
	}
	digits, negative := bytes.CutPrefix(s, []byte("-"))
	whole, behind, _ := bytes.Cut(digits, []byte("."))
	if len(digits) > math.MaxInt16 || len(behind) > 16383 {
		return dst, false
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	count, weight, zeros := 0, (len(whole)+3)/4-1, 0
	group := func(n int) {
		switch {
		case n == 0 && count == 0:
			weight--
		case n == 0:
			zeros++
		default:
			for ; zeros > 0; zeros-- {
				dst = append(dst, 0, 0)
				count++
			}
			dst = binary.BigEndian.AppendUint16(dst, uint16(n))
			count++
		}
	}
	n := 0
	for i, c := range whole {
		if n = 10*n + int(c-'0'); (len(whole)-i)%4 == 1 {
			group(n)
			n = 0
		}
	}
	for i := range (len(behind) + 3) / 4 * 4 {
		n *= 10
		if i < len(behind) {
			n += int(behind[i] - '0')
		}
		if i%4 == 3 {
			group(n)
			n = 0
		}
	}
	if count == 0 {
		weight = 0
	}
	sign := uint16(0)
	if negative {
		sign = 0x4000
	}
	for i, v := range []uint16{uint16(count), uint16(int16(weight)), sign, uint16(len(behind))} {
		binary.BigEndian.PutUint16(dst[at+2*i:], v)
	}
	return dst, true
}

// numericText writes a number of PostgreSQL's binary format as numeric_out does; not
// one that is no number, or infinite.
func numericText(wire []byte) (text []byte, ok bool) {
	if len(wire) < 8 || len(wire) != 8+2*int(binary.BigEndian.Uint16(wire)) {
		return nil, false
	}
	digits := wire[8:]
	weight, sign, scale := int(int16(binary.BigEndian.Uint16(wire[2:]))), binary.BigEndian.Uint16(wire[4:]), int(binary.BigEndian.Uint16(wire[6:]))
	if sign != 0 && sign != 0x4000 || scale > 16383 {
		return nil, false
	}
	group := func(i int) int { // that stands for 10000 to the power of weight-i
		if i < 0 || 2*i >= len(digits) {
			return 0
		}
		return int(binary.BigEndian.Uint16(digits[2*i:]))
	}
	for i := range len(digits) / 2 {
		if group(i) > 9999 {
			return nil, false
		}
	}
	text = append(make([]byte, 0, 24), '-')
	for i := 0; i <= weight; i++ {
		text = appendGroup(text, group(i))
	}
	text = append(text[:1], bytes.TrimLeft(text[1:], "0")...)
	if len(text) == 1 {
		text = append(text, '0')
	}
	if scale > 0 {
		text = append(text, '.')
		point := len(text)
		for i := weight + 1; len(text)-point < scale; i++ {
			text = appendGroup(text, group(i))
		}
		text = text[:point+scale]
	}
	if sign == 0 || len(bytes.Trim(text, "-0.")) == 0 {
		text = text[1:]
	}
	return text, true
}

// appendGroup appends the four digits of one of base 10000.
func appendGroup(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/1000), byte('0'+n/100%10), byte('0'+n/10%10), byte('0'+n%10))
}
