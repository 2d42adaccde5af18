package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/catalog"
)

func TestParseMask(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Mask
		text string
	}{
		{"email", Mask{Kind: MaskEmail}, "email"},
		{" null ", Mask{Kind: MaskNull}, "null"},
		{"redact()", Mask{Kind: MaskRedact}, "redact"},
		{"last(4)", Mask{Kind: MaskLast, Args: [2]int{4}}, "last(4)"},
		{"inner( 1,2 )", Mask{Kind: MaskInner, Args: [2]int{1, 2}}, "inner(1, 2)"},
		{"outer (0, 3)", Mask{Kind: MaskOuter, Args: [2]int{0, 3}}, "outer(0, 3)"},
		{"round(1000)", Mask{Kind: MaskRound, Args: [2]int{1000}}, "round(1000)"},
		{"constant(n/a)", Mask{Kind: MaskConstant, Text: "n/a"}, "constant('n/a')"},
		{"constant('n/a')", Mask{Kind: MaskConstant, Text: "n/a"}, "constant('n/a')"},
		{"constant('')", Mask{Kind: MaskConstant}, "constant('')"},
		{"constant(' it''s (ok) ')", Mask{Kind: MaskConstant, Text: " it's (ok) "}, "constant(' it''s (ok) ')"},
	} {
		got, err := ParseMask(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseMask(%q) = %+v, %v, want %+v", tt.in, got, err, tt.want)
		}
		if got.String() != tt.text {
			t.Errorf("ParseMask(%q).String() = %s, want %s", tt.in, got, tt.text)
		}
		if again, err := ParseMask(tt.text); err != nil || again != got {
			t.Errorf("ParseMask(%q) = %+v, %v, want %+v", tt.text, again, err, got)
		}
	}
}

func TestParseMaskRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                  `unknown mask ""`,
		"lst(4)":            `did you mean "last"?`,
		"e-mail":            `did you mean "email"?`,
		"Email":             `did you mean "email"?`,
		"last":              "mask last: takes 1 argument, not 0",
		"last(4":            "no closing parenthesis",
		"last(4, 5)":        "takes 1 argument, not 2",
		"email(1)":          "takes no arguments, not 1",
		"inner(1)":          "takes 2 arguments, not 1",
		"inner(0, 0)":       "may not both be 0",
		"outer(0, 0)":       "may not both be 0",
		"last(0)":           "n must be 1 to 100, not 0",
		"first(101)":        "n must be 1 to 100, not 101",
		"inner(-1, 2)":      "m must be 0 to 100, not -1",
		"round(1)":          "n must be 2 to 1000000000, not 1",
		"last(x)":           "n must be an integer",
		"last(1.5)":         "n must be an integer",
		"last(4) of card":   "no closing parenthesis",
		"constant":          "needs a value",
		"constant()":        "needs a value",
		"constant('a":       "no closing parenthesis",
		"constant('a)":      "quotes do not match",
		"constant(')":       "quotes do not match",
		"constant('a'b')":   "quotes do not match",
		"constant('a'''b')": "quotes do not match",
		"constant(it's)":    "needs quotes around it",
	} {
		m, err := ParseMask(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMask(%q) = %v, %v, want an error with %q", in, m, err, want)
		}
		if m != (Mask{}) {
			t.Errorf("ParseMask(%q) gives %v beside its error", in, m)
		}
	}
}

func TestMasksNobodyParsed(t *testing.T) {
	for _, m := range []Mask{
		{},
		{Kind: 200},
		{Kind: MaskLast},
		{Kind: MaskLast, Args: [2]int{1, 1}},
		{Kind: MaskRound, Args: [2]int{1}},
		{Kind: MaskEmail, Text: "x"},
	} {
		if err := m.Applies(builtin("text", -1)); err == nil {
			t.Errorf("%+v applies", m)
		}
	}
}

func TestEveryMaskHasAForm(t *testing.T) {
	for _, k := range MaskKinds() {
		if f, ok := k.form(); !ok || f.name == "" || f.on == 0 || len(f.args) > 2 {
			t.Errorf("kind %d has form %+v", k, f)
		}
	}
}

func builtin(name string, mod int32) catalog.Type {
	return catalog.Type{Schema: "pg_catalog", Name: name, Base: name, Mod: mod, SQL: name, Kind: 'b'}
}

func TestApplies(t *testing.T) {
	array := builtin("_text", -1)
	array.Elem = 25
	over := func(schema, name string) catalog.Type {
		return catalog.Type{Schema: "crm", Name: "address", BaseSchema: schema, Base: name, Mod: -1, SQL: "crm.address", Kind: 'd'}
	}
	enum := catalog.Type{Schema: "crm", Name: "text", Base: "text", Mod: -1, SQL: "crm.text", Kind: 'e'}
	citext := catalog.Type{Schema: "public", Name: "citext", Base: "citext", Mod: -1, SQL: "public.citext", Kind: 'b'}
	numeric := func(p, s int32) catalog.Type { return builtin("numeric", p<<16|s&0x7ff+4) }
	for _, tt := range []struct {
		mask string
		typ  catalog.Type
		want string // in the error; "" when the mask applies
	}{
		{"null", enum, ""},
		{"null", builtin("point", -1), ""},
		{"redact", array, ""},
		{"redact", enum, "not defined"},
		{"redact", builtin("point", -1), "not defined"},
		{"email", over("pg_catalog", "text"), ""},
		{"email", over("public", "citext"), ""},
		{"email", over("crm", "text"), "not defined"},
		{"email", over("pg_catalog", "_text"), "not defined"},
		{"email", citext, ""},
		{"email", enum, "not defined"},
		{"email", array, "not defined"},
		{"email", builtin("int4", -1), "mask email is not defined for int4, only for text"},
		{"year", builtin("timestamptz", 3), ""},
		{"year", builtin("time", -1), "not defined"},
		{"age_band(10)", builtin("timestamp", -1), "not defined"},
		{"hash", builtin("varchar", 16+4), ""},
		{"token", builtin("varchar", 15+4), "needs 16 characters, varchar has room for 15"},
		{"token", builtin("bpchar", 2+4), "needs 16 characters"},
		{"token", builtin("int8", -1), ""},
		{"token", builtin("int2", -1), "too few values"},
		{"token", builtin("date", -1), "not defined"},
		{"constant(abc)", builtin("varchar", 3+4), ""},
		{"constant(abcd)", builtin("varchar", 3+4), "longer than 3 characters"},
		{"constant(日本語)", builtin("bpchar", 3+4), ""},
		{"constant('\xff')", builtin("text", -1), "UTF-8"},
		{"constant('a\x00b')", builtin("text", -1), "NUL"},
		{"constant(-32768)", builtin("int2", -1), ""},
		{"constant(32768)", builtin("int2", -1), "integer in range"},
		{"constant(1.5)", builtin("int4", -1), "integer in range"},
		{"constant(9223372036854775808)", builtin("int8", -1), "integer in range"},
		{"constant(1.5)", builtin("numeric", -1), ""},
		{"constant(1/3)", builtin("numeric", -1), "decimal number"},
		{"constant(NaN)", builtin("numeric", -1), "decimal number"},
		{"constant(99.994)", numeric(4, 2), ""},
		{"constant(99.995)", numeric(4, 2), "out of range"},
		{"constant(-100)", numeric(4, 2), "out of range"},
		{"constant(0.999)", numeric(3, 3), ""},
		{"constant(1)", numeric(3, 3), "out of range"},
		{"constant(99949)", numeric(3, -2), ""},
		{"constant(99950)", numeric(3, -2), "out of range"},
		{"constant(1.5)", builtin("float4", -1), ""},
		{"constant(" + strings.Repeat("9", 40) + ")", builtin("float4", -1), "in range"},
		{"constant(0." + strings.Repeat("0", 50) + "1)", builtin("float4", -1), "too close to zero"},
		{"constant(true)", builtin("bool", -1), ""},
		{"constant(yes)", builtin("bool", -1), "true or false"},
		{"constant(2024-02-29)", builtin("date", -1), ""},
		{"constant(2023-02-29)", builtin("date", -1), "written like 2006-01-02"},
		{"constant(01/02/2023)", builtin("date", -1), "written like"},
		{"constant(0000-01-01)", builtin("date", -1), "written like"},
		{"constant(2024-02-29 10:00:00)", builtin("date", -1), "written like"},
		{"constant(2024-02-29 10:00:00.5)", builtin("timestamp", -1), ""},
		{"constant('2024-02-29 10:00:00,5')", builtin("timestamp", -1), "written like"},
		{"constant(2024-02-29)", builtin("timestamptz", -1), ""},
		{"constant(2024-02-29 10:00:00+02)", builtin("timestamptz", -1), "written like"},
		{"constant(11111111-1111-1111-1111-111111111111)", builtin("uuid", -1), ""},
		{"constant(1111)", builtin("uuid", -1), "must be a uuid"},
		{"constant(10.0.0.1/8)", builtin("inet", -1), ""},
		{"constant(10.0.0.1/8)", builtin("cidr", -1), "network address"},
		{"constant(10.0.0.0/8)", builtin("cidr", -1), ""},
		{"constant(fe80::1%eth0)", builtin("inet", -1), "network address"},
		{"constant(x)", enum, "not defined"},
		{"constant({})", builtin("jsonb", -1), "not defined"},
	} {
		m, err := ParseMask(tt.mask)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Applies(tt.typ)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s on %s: %v, want %q", tt.mask, tt.typ.SQL, err, tt.want)
		}
	}
}

// TestStrictness holds pairs in the order that merging rules relies on.
func TestStrictness(t *testing.T) {
	order := []string{"null", "constant('a')", "constant('b')", "redact", "hash", "token", "age_band(20)", "age_band(5)", "year",
		"bucket(1000000000)", "bucket(2)", "round(100)", "round(10)", "month", "ip", "initials", "prefix(1)", "prefix(3)", "phone", "email",
		"last(2)", "last(4)", "first(1)", "first(100)", "inner(1, 1)", "inner(2, 1)", "outer(9, 9)", "outer(1, 0)", "scrub"}
	var masks []Mask
	for _, s := range order {
		m, err := ParseMask(s)
		if err != nil {
			t.Fatal(err)
		}
		masks = append(masks, m)
	}
	for i, a := range masks {
		for j, b := range masks {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s compared with %s is %d", a, b, got)
			}
		}
	}
	if got := slices.MinFunc(masks, Mask.Compare); got.Kind != MaskNull {
		t.Errorf("the strictest of all is %s", got)
	}
}
