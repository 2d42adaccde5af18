package main

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// quiet is how many light modules a QR code needs around it (ISO 18004).
const quiet = 4

// Black on white, whatever the terminal's own colours are: those of the fixed
// part of 256 colours, which themes leave alone.
const (
	blackOnWhite = "\x1b[38;5;16;48;5;231m"
	ownColours   = "\x1b[0m"
)

// qrCode draws a text for a terminal, two rows of modules in a line of
// characters.
func qrCode(text string) (string, error) {
	code, err := qr.Encode(text, qr.L, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	var b strings.Builder
	size := code.Bounds().Dx()
	for y := -quiet; y < size+quiet; y += 2 {
		b.WriteString(blackOnWhite)
		for x := -quiet; x < size+quiet; x++ {
			b.WriteString(halves(dark(code, x, y), dark(code, x, y+1)))
		}
		b.WriteString(ownColours + "\n")
	}
	return b.String(), nil
}

// dark tells whether a module is; what is outside is not.
func dark(code barcode.Barcode, x, y int) bool {
	size := code.Bounds().Dx()
	return x >= 0 && x < size && y >= 0 && y < size && code.At(x, y) == color.Black
}

func halves(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	default:
		return " "
	}
}
