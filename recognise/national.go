package recognise

// usSSN: nothing checks it but which numbers are never given.
func (s *Scanner) usSSN(text []byte, i int, n *number) int {
	area, group, serial := n.value(0, 3), n.value(3, 5), n.value(5, 9)
	if n.n < 9 || area == 0 || area == 666 || area >= 900 || group == 0 || serial == 0 || n.same(9) {
		return 0
	}
	if n.like("ddd-dd-dddd") {
		return 9
	}
	if (n.like("ddd dd dddd") || n.bare(9)) && s.named(text, i, "ssn", "social", "security") {
		return 9
	}
	return 0
}

// deIdNr: of the first ten digits one comes twice or three times, the others
// once at most; ISO 7064, MOD 11,10.
func (n *number) deIdNr() int {
	if n.n < 11 || n.digit[0] == 0 || !n.bare(11) && !n.like("dd ddd ddd ddd") {
		return 0
	}
	var times [10]int
	product := 10
	for _, d := range n.digit[:10] {
		times[d]++
		sum := (int(d) + product) % 10
		if sum == 0 {
			sum = 10
		}
		product = 2 * sum % 11
	}
	repeated := 0
	for _, t := range times {
		if t > 3 {
			return 0
		}
		if t > 1 {
			repeated++
		}
	}
	if repeated != 1 || (11-product)%10 != int(n.digit[10]) {
		return 0
	}
	return 11
}

// weighted gives the sum of the first digits, each by its weight.
func (n *number) weighted(weights ...int) (sum int) {
	for i, w := range weights {
		sum += w * int(n.digit[i])
	}
	return sum
}

// plPESEL: a date whose month tells the century, and a check digit.
func (n *number) plPESEL() int {
	if n.n < 11 || !n.bare(11) || !isDate(n.value(2, 4)%20, n.value(4, 6)) || n.weighted(1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 != 0 {
		return 0
	}
	return 11
}

func isDate(month, day int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 && (day < 31 || month != 4 && month != 6 && month != 9 && month != 11) && (day < 30 || month != 2)
}

// nlBSN: the test of eleven.
func (s *Scanner) nlBSN(text []byte, i int, n *number) int {
	if n.n < 9 || n.weighted(9, 8, 7, 6, 5, 4, 3, 2, -1)%11 != 0 || n.same(9) {
		return 0
	}
	if (n.bare(9) || n.like("dddd.dd.ddd") || n.like("ddd ddd ddd")) && s.named(text, i, "bsn", "burgerservicenummer", "sofinummer", "sofi") {
		return 9
	}
	return 0
}

// beNN: a date, which may be unknown in part or marked by 20 or 40 in its month,
// a serial number, and what is left of 97; from 2000 on with a 2 before.
func (n *number) beNN() int {
	if n.n < 11 || !n.bare(11) && !n.like("dd.dd.dd-ddd.dd") && !n.like("dd.dd.dd ddd.dd") && !n.like("dddddd-ddd.dd") && !n.like("dddddd ddd dd") && !n.like("dd-dd-dd-ddd-dd") {
		return 0
	}
	month, day := n.value(2, 4)%20, n.value(4, 6)
	if month > 12 || day > 31 || n.value(2, 4) > 60 || n.value(6, 9) == 0 || n.value(6, 9) == 999 {
		return 0
	}
	check, nine := n.value(9, 11), n.value(0, 9)
	if check != 97-nine%97 && check != 97-(2_000_000_000+nine)%97 {
		return 0
	}
	return 11
}

// sePnr: a date, to whose day 60 may be added, a serial number and a check digit;
// ten digits, or twelve with the century. A plus stands for the dash at a hundred
// years, and ends a number here.
func (s *Scanner) sePnr(text []byte, i int, n *number) int {
	k := 0
	switch {
	case n.like("dddddd-dddd"), n.bare(10) && s.named(text, i, swedish...):
		k = 10
	case n.like("dddddddd-dddd"), n.bare(12) && s.named(text, i, swedish...):
		k = 12
	default:
		return 0
	}
	if century := n.value(0, 2); k == 12 && (century < 18 || century > 20) {
		return 0
	}
	day := n.value(k-6, k-4)
	if day > 60 {
		day -= 60
	}
	if !isDate(n.value(k-8, k-6), day) || !luhn(n.digit[k-10:k]) {
		return 0
	}
	return k
}

var swedish = []string{"personnummer", "personnr", "pnr", "samordningsnummer", "personal identity number"}

// brCPF: two check digits.
func (s *Scanner) brCPF(text []byte, i int, n *number) int {
	if n.n < 11 || n.same(11) {
		return 0
	}
	digit := func(sum int) int { return sum * 10 % 11 % 10 }
	if digit(n.weighted(10, 9, 8, 7, 6, 5, 4, 3, 2)) != int(n.digit[9]) || digit(n.weighted(11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) != int(n.digit[10]) {
		return 0
	}
	if n.like("ddd.ddd.ddd-dd") || (n.bare(11) || n.like("ddddddddd-dd")) && s.named(text, i, "cpf", "cadastro") {
		return 11
	}
	return 0
}

// inAadhaar: a check digit by Verhoeff's method.
func (s *Scanner) inAadhaar(text []byte, i int, n *number) int {
	if n.n < 12 || n.digit[0] < 2 || !verhoeff(n.digit[:12]) {
		return 0
	}
	if n.like("dddd dddd dddd") || n.like("dddd-dddd-dddd") || n.bare(12) && s.named(text, i, "aadhaar", "aadhar", "adhaar", "uid", "uidai") {
		return 12
	}
	return 0
}

// dihedral is the multiplication of the group D5, and permuted what becomes of a
// digit at each place: J. Verhoeff, Error detecting decimal codes (1969).
var (
	dihedral = [10][10]byte{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 4, 0, 6, 7, 8, 9, 5}, {2, 3, 4, 0, 1, 7, 8, 9, 5, 6}, {3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
		{4, 0, 1, 2, 3, 9, 5, 6, 7, 8}, {5, 9, 8, 7, 6, 0, 4, 3, 2, 1}, {6, 5, 9, 8, 7, 1, 0, 4, 3, 2}, {7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
		{8, 7, 6, 5, 9, 3, 2, 1, 0, 4}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
	}
	permuted = [8][10]byte{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 5, 7, 6, 2, 8, 3, 0, 9, 4}, {5, 8, 0, 3, 7, 9, 6, 1, 4, 2}, {8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
		{9, 4, 5, 3, 1, 2, 6, 8, 7, 0}, {4, 2, 8, 6, 5, 7, 3, 9, 0, 1}, {2, 7, 9, 3, 8, 0, 6, 4, 1, 5}, {7, 0, 4, 6, 9, 1, 3, 2, 5, 8},
	}
)

func verhoeff(digits []byte) bool {
	c := byte(0)
	for i := range digits {
		c = dihedral[c][permuted[i%8][digits[len(digits)-1-i]]]
	}
	return c == 0
}
