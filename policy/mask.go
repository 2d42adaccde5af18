package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Mask says what is shown of a value in its place. Masks are values: two of
// them are equal when == says so. The zero Mask is none and applies to nothing.
type Mask struct {
	Kind MaskKind
	Args [2]int // those that the kind takes; the others are 0
	Text string // of MaskConstant: what is shown
}

// MaskKind is one of the masks that the language knows. Their order is how much
// they reveal, from nothing at all up; Rank rests on it.
type MaskKind uint8

// The masks. The zero MaskKind is none of them.
const (
	MaskNull     MaskKind = iota + 1 // nothing, not even whether there is a value
	MaskConstant                     // a text of the policy's choice
	MaskRedact                       // a fixed value of the column's type
	MaskHash                         // a pseudonym that means something in this column only
	MaskToken                        // a pseudonym that joins all columns of a class
	MaskAgeBand                      // the lower edge of a band of years
	MaskYear                         // the first day of the year
	MaskBucket                       // the lower edge of a bucket
	MaskRound                        // the nearest multiple
	MaskMonth                        // the first day of the month
	MaskIP                           // the network part
	MaskInitials                     // the first letter of each word
	MaskPrefix                       // the first characters, the rest cut off
	MaskPhone                        // the punctuation and the last two characters
	MaskEmail                        // the first letter and the domain
	MaskLast                         // the last characters
	MaskFirst                        // the first characters
	MaskInner                        // both ends, the inside starred
	MaskOuter                        // the inside, both ends starred
	MaskScrub                        // all text but identifiers found in it
)

// maskForm is how a mask is written and what it is defined for.
type maskForm struct {
	name string
	args []maskArg
	on   families
}

// maskArg is one integer argument with its bounds.
type maskArg struct {
	name     string
	min, max int
}

// maxKept bounds the characters that a mask keeps: one that keeps more is a mistake.
const maxKept = 100

// maxStep bounds the width of a bucket, so that arithmetic with it stays exact.
const maxStep = 1_000_000_000

// maskForms is indexed by MaskKind. Steps begin at 2, since multiples of 1
// would show every integer as it is.
var maskForms = [...]maskForm{
	MaskNull:     {name: "null", on: anyFamily},
	MaskConstant: {name: "constant", on: withConstants},
	MaskRedact:   {name: "redact", on: anyFamily &^ familySet(FamilyOther)},
	MaskHash:     {name: "hash", on: withPseudonyms},
	MaskToken:    {name: "token", on: withPseudonyms},
	MaskAgeBand:  {name: "age_band", args: []maskArg{{"n", 2, 100}}, on: familySet(FamilyInteger, FamilyDate)},
	MaskYear:     {name: "year", on: familySet(FamilyDate, FamilyTimestamp)},
	MaskBucket:   {name: "bucket", args: []maskArg{{"n", 2, maxStep}}, on: withSteps},
	MaskRound:    {name: "round", args: []maskArg{{"n", 2, maxStep}}, on: withSteps},
	MaskMonth:    {name: "month", on: familySet(FamilyDate, FamilyTimestamp)},
	MaskIP:       {name: "ip", on: familySet(FamilyNetwork, FamilyText)},
	MaskInitials: {name: "initials", on: familySet(FamilyText)},
	MaskPrefix:   {name: "prefix", args: []maskArg{{"n", 1, maxKept}}, on: familySet(FamilyText)},
	MaskPhone:    {name: "phone", on: familySet(FamilyText)},
	MaskEmail:    {name: "email", on: familySet(FamilyText)},
	MaskLast:     {name: "last", args: []maskArg{{"n", 1, maxKept}}, on: familySet(FamilyText)},
	MaskFirst:    {name: "first", args: []maskArg{{"n", 1, maxKept}}, on: familySet(FamilyText)},
	MaskInner:    {name: "inner", args: []maskArg{{"m", 0, maxKept}, {"n", 0, maxKept}}, on: familySet(FamilyText)},
	MaskOuter:    {name: "outer", args: []maskArg{{"m", 0, maxKept}, {"n", 0, maxKept}}, on: familySet(FamilyText)},
	MaskScrub:    {name: "scrub", on: familySet(FamilyText)},
}

// form gives how the mask is written; ok is false for what is no mask.
func (k MaskKind) form() (f maskForm, ok bool) {
	if k == 0 || int(k) >= len(maskForms) {
		return maskForm{}, false
	}
	return maskForms[k], true
}

// MaskKinds gives every kind, the least revealing first.
func MaskKinds() []MaskKind {
	var kinds []MaskKind
	for k := range maskForms[1:] {
		kinds = append(kinds, MaskKind(k+1))
	}
	return kinds
}

// String gives the kind's name in the language.
func (k MaskKind) String() string {
	f, ok := k.form()
	if !ok {
		return fmt.Sprintf("MaskKind(%d)", uint8(k))
	}
	return f.name
}

// ParseMask reads a mask as a policy writes it: email, last(4), inner(1, 2),
// constant('n/a'). A constant may stand without quotes when it has none itself.
func ParseMask(s string) (Mask, error) {
	name, inside, called := strings.Cut(strings.TrimSpace(s), "(")
	name = strings.TrimSpace(name)
	kind, err := maskNamed(name)
	if err != nil {
		return Mask{}, err
	}
	if called {
		var closed bool
		if inside, closed = strings.CutSuffix(inside, ")"); !closed {
			return Mask{}, fmt.Errorf("mask %s: no closing parenthesis", name)
		}
	}
	inside = strings.TrimSpace(inside)
	m := Mask{Kind: kind}
	if kind == MaskConstant {
		m.Text, err = constantText(inside)
	} else {
		m.Args, err = maskArgs(maskForms[kind].args, inside)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return Mask{}, fmt.Errorf("mask %s: %w", name, err)
	}
	return m, nil
}

// maskNamed finds a kind by its name, or says which name is the nearest.
func maskNamed(name string) (MaskKind, error) {
	var known []string
	for _, k := range MaskKinds() {
		if k.String() == name {
			return k, nil
		}
		known = append(known, k.String())
	}
	return 0, fmt.Errorf("unknown mask %q%s", name, didYouMean(name, append(known, aggregateWord)))
}

// EditDistance counts the letters to insert, delete or replace to turn a into b.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// constantText takes the quotes off a constant.
func constantText(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("needs a value, as in constant('n/a')")
	}
	if s[0] != '\'' {
		if strings.Contains(s, "'") {
			return "", fmt.Errorf("a value with quotes in it needs quotes around it")
		}
		return s, nil
	}
	s, closed := strings.CutSuffix(s[1:], "'")
	text := strings.ReplaceAll(s, "''", "'")
	if !closed || strings.Count(s, "'") != 2*strings.Count(text, "'") {
		return "", fmt.Errorf("quotes do not match")
	}
	return text, nil
}

// maskArgs reads the integers between the parentheses.
func maskArgs(want []maskArg, inside string) (args [2]int, err error) {
	var parts []string
	if inside != "" {
		parts = strings.Split(inside, ",")
	}
	if len(parts) != len(want) {
		return args, fmt.Errorf("takes %s, not %d", plural(len(want), "argument"), len(parts))
	}
	for i, p := range parts {
		if args[i], err = strconv.Atoi(strings.TrimSpace(p)); err != nil {
			return args, fmt.Errorf("%s must be an integer", want[i].name)
		}
	}
	return args, nil
}

func plural(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun + "s"
	case 1:
		return "1 " + noun
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}

// check tells whether the mask is one that ParseMask could have made, so that
// a Mask put together by hand is held to the same bounds.
func (m Mask) check() error {
	f, ok := m.Kind.form()
	if !ok {
		return fmt.Errorf("no mask")
	}
	for i, n := range m.Args {
		if i >= len(f.args) {
			if n != 0 {
				return fmt.Errorf("takes %s", plural(len(f.args), "argument"))
			}
			continue
		}
		if a := f.args[i]; n < a.min || n > a.max {
			return fmt.Errorf("%s must be %d to %d, not %d", a.name, a.min, a.max, n)
		}
	}
	if len(f.args) == 2 && m.Args[0]+m.Args[1] == 0 {
		return fmt.Errorf("m and n may not both be 0")
	}
	if m.Text != "" && m.Kind != MaskConstant {
		return fmt.Errorf("takes no text")
	}
	return nil
}

// String gives the mask as ParseMask reads it, always in the same spelling.
func (m Mask) String() string {
	f, ok := m.Kind.form()
	switch {
	case !ok:
		return m.Kind.String()
	case m.Kind == MaskConstant:
		return "constant('" + strings.ReplaceAll(m.Text, "'", "''") + "')"
	case len(f.args) == 0:
		return f.name
	}
	args := make([]string, len(f.args))
	for i := range args {
		args[i] = strconv.Itoa(m.Args[i])
	}
	return f.name + "(" + strings.Join(args, ", ") + ")"
}

// Rank orders masks by how much they reveal: the higher, the more. The kind
// counts first, then how much of the value the arguments leave. Masks of one
// rank reveal equally much.
func (m Mask) Rank() int {
	rank := int(m.Kind) * 2 * maxStep
	switch m.Kind {
	case MaskFirst, MaskLast, MaskPrefix, MaskInner:
		return rank + m.Args[0] + m.Args[1]
	case MaskAgeBand, MaskBucket, MaskRound, MaskOuter: // wider is less
		return rank + maxStep - m.Args[0] - m.Args[1]
	default:
		return rank
	}
}

// Compare orders masks totally: by Rank, and by their spelling where that
// leaves a tie, so that the strictest of several never hangs on their order.
func (m Mask) Compare(o Mask) int {
	return cmp.Or(cmp.Compare(m.Rank(), o.Rank()), strings.Compare(m.String(), o.String()))
}
