package sweep

import (
	"bytes"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lower is what becomes of an ASCII byte.
var lower = func() (table [utf8.RuneSelf]byte) {
	for c := range table {
		table[c] = byte(unicode.ToLower(rune(c)))
	}
	return table
}()

// fold appends text to dst in lower case, accents joined with their letters. What
// is no UTF-8 stays as it is.
func fold(dst, text []byte) []byte {
	start := len(dst)
	dst = append(dst, text...)
	folded := dst[start:]
	for i, c := range folded {
		if c >= utf8.RuneSelf {
			i = max(0, i-1) // an accent joins the letter before it
			return foldRunes(dst[:start+i], text[i:])
		}
		folded[i] = lower[c]
	}
	return dst
}

func foldRunes(dst, text []byte) []byte {
	if !norm.NFC.IsNormal(text) {
		text = norm.NFC.Bytes(text)
	}
	for len(text) > 0 {
		if text[0] < utf8.RuneSelf {
			dst, text = append(dst, lower[text[0]]), text[1:]
			continue
		}
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, text[0])
		} else {
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		text = text[n:]
	}
	return dst
}

// separator gives the length of what people write between the digits of a number
// at the beginning of a text; 0 for anything else.
func separator(text []byte) int {
	switch text[0] {
	case ' ', '-', '.', '/', '(', ')':
		return 1
	case 0xc2:
		if len(text) > 1 && text[1] == 0xa0 { // a space that does not break the line
			return 2
		}
	case 0xe2:
		if len(text) > 2 && text[1] == 0x80 && (text[2] >= 0x90 && text[2] <= 0x93 || text[2] == 0xaf) { // hyphens and dashes, a narrow space
			return 3
		}
	}
	return 0
}

// separates tells of the bytes at which a separator may begin.
var separates = func() (table [256]bool) {
	for _, c := range []byte(" -./()\xc2\xe2") {
		table[c] = true
	}
	return table
}()

// squeeze appends text to dst without separators, and to at where each byte of it
// stood.
func squeeze(dst []byte, at []int32, text []byte) ([]byte, []int32) {
	dst, at = slices.Grow(dst, len(text)), slices.Grow(at, len(text))
	for i := 0; i < len(text); i++ {
		if c := text[i]; separates[c] {
			if n := separator(text[i:]); n > 0 {
				i += n - 1
				continue
			}
		}
		dst, at = append(dst, text[i]), append(at, int32(i))
	}
	return dst, at
}

// escaped tells whether a text may say something by escapes.
func escaped(text []byte) bool {
	return bytes.IndexByte(text, '\\') >= 0 || bytes.IndexByte(text, '%') >= 0
}

// unescape appends text to dst with the escapes undone of JSON (\u00e9, \/, \"), of
// arrays and rows (\"), of URLs (%40), and of bytes as encode(…, 'escape') writes
// them (\303).
func unescape(dst, text []byte) []byte {
	for len(text) > 0 {
		switch text[0] {
		case '\\':
			var n int
			dst, n = backslash(dst, text)
			text = text[n:]
		case '%':
			if c, err := hexadecimal(text, 1, 3, 8); err == nil {
				dst, text = append(dst, byte(c)), text[3:]
				continue
			}
			dst, text = append(dst, '%'), text[1:]
		default:
			dst, text = append(dst, text[0]), text[1:]
		}
	}
	return dst
}

// controls are the letters that stand for control characters after a backslash.
var controls = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// backslash undoes the escape that a text begins with, and gives its length.
func backslash(dst, text []byte) ([]byte, int) {
	if len(text) == 1 {
		return append(dst, '\\'), 1
	}
	if text[1] == 'u' {
		if r, n := utf16Escape(text); n > 0 {
			return utf8.AppendRune(dst, r), n
		}
	}
	if len(text) >= 4 && text[1] >= '0' && text[1] <= '3' {
		if c, err := strconv.ParseUint(string(text[1:4]), 8, 8); err == nil {
			return append(dst, byte(c)), 4
		}
	}
	if c, ok := controls[text[1]]; ok {
		return append(dst, c), 2
	}
	return append(dst, text[1]), 2
}

// utf16Escape reads \u00e9, or the two that make one character beyond the first
// 65,536; n is 0 when it is none.
func utf16Escape(text []byte) (r rune, n int) {
	high, err := hexadecimal(text, 2, 6, 16)
	if err != nil {
		return 0, 0
	}
	if high < 0xd800 || high > 0xdbff {
		return rune(high), 6
	}
	low, err := hexadecimal(text, 8, 12, 16)
	if err != nil || text[6] != '\\' || text[7] != 'u' || low < 0xdc00 || low > 0xdfff {
		return utf8.RuneError, 6
	}
	return rune((high-0xd800)<<10|(low-0xdc00)) + 0x10000, 12
}

func hexadecimal(text []byte, from, to, bits int) (uint64, error) {
	if len(text) < to {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(string(text[from:to]), 16, bits)
}
