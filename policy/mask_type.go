package policy

import (
	"fmt"
	"math/big"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pgveil/pgveil/catalog"
)

// Family is a group of types that masks treat alike. FamilyOther is everything
// that masks do not know: only null applies to it.
type Family uint8

// The families.
const (
	FamilyOther Family = iota
	FamilyText
	FamilyInteger
	FamilyNumeric
	FamilyFloat
	FamilyBoolean
	FamilyDate
	FamilyTimestamp
	FamilyUUID
	FamilyNetwork
	FamilyBytes
	FamilyJSON
	FamilyArray
)

var familyNames = [...]string{
	FamilyOther: "other types", FamilyText: "text", FamilyInteger: "integers", FamilyNumeric: "numeric",
	FamilyFloat: "floating point", FamilyBoolean: "boolean", FamilyDate: "date", FamilyTimestamp: "timestamps",
	FamilyUUID: "uuid", FamilyNetwork: "inet and cidr", FamilyBytes: "bytea", FamilyJSON: "json", FamilyArray: "arrays",
}

// String names the family in plain words.
func (f Family) String() string { return familyNames[f] }

// families is a set of them.
type families uint16

const anyFamily families = 1<<(FamilyArray+1) - 1

var (
	withConstants = familySet(FamilyText, FamilyInteger, FamilyNumeric, FamilyFloat, FamilyBoolean,
		FamilyDate, FamilyTimestamp, FamilyUUID, FamilyNetwork)
	withPseudonyms = familySet(FamilyText, FamilyInteger, FamilyUUID)
	withSteps      = familySet(FamilyInteger, FamilyNumeric, FamilyFloat)
)

func familySet(of ...Family) families {
	var s families
	for _, f := range of {
		s |= 1 << f
	}
	return s
}

func (s families) String() string {
	var names []string
	for f := range Family(len(familyNames)) {
		if s&familySet(f) != 0 {
			names = append(names, f.String())
		}
	}
	return strings.Join(names, ", ")
}

// familyByName holds the types of pg_catalog that masks know.
var familyByName = map[string]Family{
	"text": FamilyText, "varchar": FamilyText, "bpchar": FamilyText,
	"int2": FamilyInteger, "int4": FamilyInteger, "int8": FamilyInteger,
	"numeric": FamilyNumeric, "float4": FamilyFloat, "float8": FamilyFloat,
	"bool": FamilyBoolean, "date": FamilyDate, "timestamp": FamilyTimestamp, "timestamptz": FamilyTimestamp,
	"uuid": FamilyUUID, "inet": FamilyNetwork, "cidr": FamilyNetwork,
	"bytea": FamilyBytes, "json": FamilyJSON, "jsonb": FamilyJSON,
}

// FamilyOf gives the family of a type; a domain has that of its base type.
func FamilyOf(t catalog.Type) Family {
	switch {
	case t.Kind == 'd':
		return familyNamed(t.BaseSchema, t.Base)
	case t.Kind != 'b':
		return FamilyOther
	case t.Elem != 0:
		return FamilyArray
	default:
		return familyNamed(t.Schema, t.Name)
	}
}

// familyNamed knows citext by its name wherever its extension was installed:
// nobody but a superuser can make another base type that is called so. With a
// domain over an enum of that name every mask is an error of the server.
func familyNamed(schema, name string) Family {
	switch {
	case schema == "pg_catalog":
		return familyByName[name]
	case name == "citext":
		return FamilyText
	default:
		return FamilyOther
	}
}

// PseudonymLength is how many characters hash and token need in a text column.
// It is the same for all, so that tokens in columns of different widths join.
const PseudonymLength = 16

// Applies tells whether the mask is defined for values of the type, and why not.
func (m Mask) Applies(t catalog.Type) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("mask %s: %w", m.Kind, err)
	}
	family, on := FamilyOf(t), maskForms[m.Kind].on
	if on&familySet(family) == 0 {
		return fmt.Errorf("mask %s is not defined for %s, only for %s", m, t.SQL, on)
	}
	switch m.Kind {
	case MaskConstant:
		if err := constantFits(m.Text, family, t); err != nil {
			return fmt.Errorf("mask %s does not fit %s: %w", m, t.SQL, err)
		}
	case MaskHash, MaskToken:
		if w, limited := textWidth(t); limited && w < PseudonymLength {
			return fmt.Errorf("mask %s needs %d characters, %s has room for %d", m, PseudonymLength, t.SQL, w)
		}
		if t.Base == "int2" {
			return fmt.Errorf("mask %s is not defined for smallint, which has too few values", m)
		}
	}
	return nil
}

// textWidth gives n of varchar(n) and char(n), whose type modifier is n + 4.
func textWidth(t catalog.Type) (n int, limited bool) {
	if (t.Name != "varchar" && t.Name != "bpchar") || t.Mod < 4 {
		return 0, false
	}
	return int(t.Mod - 4), true
}

// NumericLimits gives p and s of numeric(p, s). PostgreSQL packs them into the
// type modifier, s as a signed number of eleven bits (make_numeric_typmod).
func NumericLimits(t catalog.Type) (p, s int, limited bool) {
	if t.Name != "numeric" || t.Mod < 4 {
		return 0, 0, false
	}
	packed := t.Mod - 4
	return int(packed >> 16), int(packed&0x7ff^1024) - 1024, true
}

// constantFits tells whether the text is a value of the type that the server
// is sure to read, and to read the same way under every session's settings.
func constantFits(text string, family Family, t catalog.Type) error {
	switch family {
	case FamilyText:
		return textFits(text, t)
	case FamilyInteger:
		bits := map[string]int{"int2": 16, "int4": 32, "int8": 64}[t.Base]
		if _, err := strconv.ParseInt(text, 10, bits); err != nil {
			return fmt.Errorf("must be an integer in range")
		}
	case FamilyNumeric:
		return numericFits(text, t)
	case FamilyFloat:
		return floatFits(text, t)
	case FamilyBoolean:
		if text != "true" && text != "false" {
			return fmt.Errorf("must be true or false")
		}
	case FamilyDate:
		return timeFits(text, time.DateOnly)
	case FamilyTimestamp:
		return timeFits(text, time.DateTime)
	case FamilyUUID:
		if !uuidText.MatchString(text) {
			return fmt.Errorf("must be a uuid")
		}
	case FamilyNetwork:
		return networkFits(text, t)
	default:
		return fmt.Errorf("no constants of this type")
	}
	return nil
}

var (
	uuidText    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	decimalText = regexp.MustCompile(`^-?[0-9]{1,200}(\.[0-9]{1,200})?$`)
)

func textFits(text string, t catalog.Type) error {
	if w, limited := textWidth(t); limited && utf8.RuneCountInString(text) > w {
		return fmt.Errorf("longer than %d characters", w)
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("must be UTF-8 without NUL")
	}
	return nil
}

func numericFits(text string, t catalog.Type) error {
	v, ok := new(big.Rat).SetString(text)
	if !ok || !decimalText.MatchString(text) {
		return fmt.Errorf("must be a decimal number")
	}
	if p, s, limited := NumericLimits(t); limited {
		unit := new(big.Rat).SetInt(pow10(max(s, -s)))
		if s > 0 {
			unit.Inv(unit)
		}
		// The server rounds to units, halves away from zero, and p digits must hold the result.
		limit := new(big.Rat).SetInt(pow10(p))
		limit.Sub(limit, big.NewRat(1, 2)).Mul(limit, unit)
		if v.Abs(v).Cmp(limit) >= 0 {
			return fmt.Errorf("out of range")
		}
	}
	return nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func floatFits(text string, t catalog.Type) error {
	bits := 64
	if t.Base == "float4" {
		bits = 32
	}
	f, err := strconv.ParseFloat(text, bits)
	if err != nil || !decimalText.MatchString(text) {
		return fmt.Errorf("must be a decimal number in range")
	}
	if f == 0 && strings.ContainsAny(text, "123456789") {
		return fmt.Errorf("too close to zero")
	}
	return nil
}

// timeFits accepts a date, or the layout, in the ISO spelling that PostgreSQL
// reads alike under every DateStyle. There is no year 0.
func timeFits(text, layout string) error {
	v, err := time.Parse(time.DateOnly, text)
	if err != nil {
		v, err = time.Parse(layout, text)
	}
	if err != nil || v.Year() == 0 || strings.Contains(text, ",") {
		return fmt.Errorf("must be written like %s", layout)
	}
	return nil
}

// networkFits accepts an address or a network; for cidr its host part must be zero.
func networkFits(text string, t catalog.Type) error {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || (t.Base == "cidr" && p != p.Masked()) {
		return fmt.Errorf("must be a network address")
	}
	return nil
}
