package honey

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// under gives a number from 0 to n-1.
func under(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand never fails on the systems that pgveil runs on
	}
	return int(i.Int64())
}

func pick(of []string) string { return of[under(len(of))] }

// digits gives n digits.
func digits(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('0' + under(10)))
	}
	return b.String()
}

// shaped gives a text of the same shape: every digit another digit, every letter
// of ASCII another letter, all else as it is. A digit at the start is no zero
// unless it was one.
func shaped(text string) string {
	out := []rune(text)
	for i, c := range out {
		switch {
		case c == '0' && i == 0:
		case c >= '0' && c <= '9' && i == 0:
			out[i] = rune('1' + under(9))
		case c >= '0' && c <= '9':
			out[i] = rune('0' + under(10))
		case c >= 'a' && c <= 'z':
			out[i] = rune('a' + under(26))
		case c >= 'A' && c <= 'Z':
			out[i] = rune('A' + under(26))
		}
	}
	return string(out)
}

var (
	firstNames = strings.Fields(`Anna Ben Clara David Elena Felix Grace Hannah Ivan Julia Karim Laura Maria Nils Olivia Paul
		Rosa Samuel Tara Victor Wanda Yusuf Zoe Adam Bianca Carlos Daria Emil Fatima Georg Helen Ines Jonas Katja Liam Mona Nora
		Oskar Petra Rafael Sophie Thomas Ursula Vera William Yasmin`)
	lastNames = strings.Fields(`Albers Brandt Conti Dawson Eriksen Fischer Garcia Hughes Ibrahim Jansen Keller Lindqvist Moreau
		Novak Okafor Petrov Quinn Rossi Schubert Tanaka Ulrich Vasquez Weber Yilmaz Zimmer Adler Barnes Costa Dietrich Evans
		Foster Greco Haas Ivanova Jones Kovacs Lopez Marsh Neumann Olsen Pereira Richter Santos Turner Vogel Walsh`)
	streets = strings.Split("Station Road,Mill Lane,Park Avenue,Church Street,Garden Row,High Street,Bridge Street,Meadow Lane,Elm Grove,Castle Hill", ",")
	cities  = strings.Split("Ashford,Brixen,Delft,Esbjerg,Fulda,Girona,Hallein,Kolding,Leuven,Namur,Olten,Parma,Trier,Uppsala,Vannes", ",")
)

// person is who a planted record is about: nobody.
type person struct{ first, last, domain string }

func newPerson(domains []string) person {
	return person{pick(firstNames), pick(lastNames), pick(domains)}
}

func (p person) email() string {
	return strings.ToLower(fmt.Sprintf("%s.%s%s@%s", p.first, p.last, digits(2), p.domain))
}

// phone gives a number of a range that its country's regulator keeps for fiction,
// of the country of a number that is there: Ofcom's and ARCEP's of that name, the
// Bundesnetzagentur's "Drama Numbers", and 555-0100 to 555-0199 in North America.
func phone(like string) string {
	switch {
	case strings.HasPrefix(like, "+44"), strings.HasPrefix(like, "07"):
		return "+447700900" + digits(3)
	case strings.HasPrefix(like, "+33"):
		return "+3319900" + digits(4)
	case strings.HasPrefix(like, "+49"):
		return "+493023125" + digits(3)
	default:
		return fmt.Sprintf("+1%d55501%s", 201+under(700), digits(2))
	}
}

func birthDate() string {
	return time.Now().AddDate(-20-under(55), 0, -under(365)).Format(time.DateOnly)
}

// lately gives a moment of the last two years.
func lately() string {
	return time.Now().Add(-time.Duration(under(2*365*24*3600)) * time.Second).UTC().Format(time.DateTime)
}

// address gives one of a network that is for documentation (RFC 5737).
func address() string { return fmt.Sprintf("203.0.113.%d", 1+under(254)) }

func uuid() string {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		panic(err) // as above
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
