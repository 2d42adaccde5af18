package main

import (
	"bufio"
	"strings"
	"testing"
)

func TestStreamRead(t *testing.T) {
	row := string(frame('D', "0123456789"))
	end := string(frame('C', "SELECT 2\x00")) + string(frame('Z', "I"))
	for _, tt := range []struct {
		name, answer string
		until        byte
		rows         int
		err          string
	}{
		{"rows", string(frame('T', "xx")) + row + row + end, 'Z', 2, ""},
		{"a row longer than the buffer", string(frame('D', strings.Repeat("x", 1000))) + row + end, 'Z', 2, ""},
		{"copied out", string(frame('d', "a\n")) + string(frame('c', "")) + string(frame('C', "COPY 1\x00")) + string(frame('Z', "I")), 'Z', 1, ""},
		{"copied in", string(frame('C', "COPY 42\x00")) + string(frame('Z', "I")), 'Z', 42, ""},
		{"up to the message asked for", string(frame('G', "")) + row, 'G', 0, ""},
		{"an error", row + string(frame('E', "SERROR\x00C42501\x00Mno\x00\x00")), 'Z', 1, "no (SQLSTATE 42501)"},
		{"an end amid a row", row + row[:7], 'Z', 2, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &stream{r: bufio.NewReaderSize(strings.NewReader(tt.answer), 64)}
			err := s.read(tt.until)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if s.rows != tt.rows {
				t.Errorf("%d rows, want %d", s.rows, tt.rows)
			}
		})
	}
}
