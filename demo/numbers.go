package demo

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// cardPrefixes begin numbers that payment providers publish for tests.
var cardPrefixes = []string{"424242", "400000", "555555", "520082", "378282"}

// card makes a card number with a valid check digit.
func (g *generator) card() string {
	digits := pick(g, cardPrefixes)
	length := 16
	if strings.HasPrefix(digits, "37") {
		length = 15
	}
	for len(digits) < length-1 {
		digits += strconv.Itoa(g.rand.IntN(10))
	}
	return digits + strconv.Itoa(luhn(digits))
}

// luhn gives the check digit that follows the digits (ISO/IEC 7812-1).
func luhn(digits string) int {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 0 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return (10 - sum%10) % 10
}

// iban puts the country and the check digits before an account number
// (ISO 13616: letters count from ten, the whole is 1 modulo 97).
func iban(country, account string) string {
	var digits strings.Builder
	for _, c := range account + country + "00" {
		value, err := strconv.ParseInt(string(c), 36, 8)
		if err != nil {
			panic(fmt.Sprintf("account number %q: %v", account, err))
		}
		fmt.Fprint(&digits, value)
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	return fmt.Sprintf("%s%02d%s", country, 98-n.Mod(n, big.NewInt(97)).Int64(), account)
}

// address gives an IP address of the networks kept for documentation.
func (g *generator) address() string {
	if g.chance(15) {
		return fmt.Sprintf("2001:db8:%x::%x", g.rand.IntN(256), 1+g.rand.IntN(65535))
	}
	return fmt.Sprintf("%s.%d", pick(g, []string{"192.0.2", "198.51.100", "203.0.113"}), 1+g.rand.IntN(254))
}

// uuid makes a random one (RFC 9562, version 4) from the seed's numbers.
func (g *generator) uuid() string {
	hi, lo := g.rand.Uint64(), g.rand.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc<<60) | 0x8<<60
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&0xffffffffffff)
}

// ascii spells a name with the letters that a mail address may have.
var ascii = strings.NewReplacer(
	"ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "å", "a", "Å", "A",
	"á", "a", "à", "a", "â", "a", "é", "e", "è", "e", "ë", "e", "í", "i", "ì", "i", "ï", "i", "ı", "i", "ó", "o", "ò", "o",
	"ō", "o", "Ō", "O", "ú", "u", "ù", "u", "ç", "c", "ş", "s", "ñ", "n", "Á", "A", "Í", "I", "É", "E",
	"ą", "a", "ć", "c", "ę", "e", "ł", "l", "Ł", "L", "ń", "n", "ś", "s", "ź", "z", "ż", "z", "'", "", " ", "",
)

func mailName(first, last string) string {
	return strings.ToLower(ascii.Replace(first) + "." + ascii.Replace(last))
}
