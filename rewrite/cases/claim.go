package cases

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// elevationLasts is for how long an elevation of a case is in force yet.
const elevationLasts = time.Hour

// as reads the line that says who asks.
func (p *parser) as(rest string) error {
	words := strings.Fields(rest)
	claim, at, err := ParseAs(words)
	p.current = Case{Fixture: p.current.Fixture, Who: strings.Join(words, " "), Claim: claim, At: at}
	return err
}

// ParseAs reads a login and the words after it that say more of who asks, and
// when; the zero time is whenever it runs.
func ParseAs(words []string) (policy.Claim, time.Time, error) {
	r := asReader{claim: policy.Claim{Login: words[0]}}
	var seen []string
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		if name != "elevated" && slices.Contains(seen, name) {
			return r.claim, r.at, fmt.Errorf("as says %s twice", name)
		}
		seen = append(seen, name)
		if err := r.word(w, name, value); err != nil {
			return r.claim, r.at, err
		}
	}
	now := r.at
	if now.IsZero() {
		now = time.Now()
	}
	for i := range r.claim.Elevations {
		r.claim.Elevations[i].Until = now.Add(elevationLasts)
	}
	return r.claim, r.at, nil
}

// asReader reads the words after a login.
type asReader struct {
	claim policy.Claim
	at    time.Time
}

func (r *asReader) word(w, name, value string) error {
	var err error
	switch {
	case w == "second_factor":
		r.claim.Second = true
	case w == "beyond":
		r.claim.Beyond = true
	case w == "vouched":
		r.claim.Vouched = &policy.Vouched{}
	case value == "":
		return fmt.Errorf("unknown word %q after as; there are %s", w, asWords)
	case name == "user":
		r.claim.User = value
	case name == "purpose":
		r.claim.Purpose = value
	case name == "elevated":
		role, purpose, ok := strings.Cut(value, ":")
		if !ok || role == "" || purpose == "" {
			return fmt.Errorf("elevated=ROLE:PURPOSE, not %q", w)
		}
		r.claim.Elevations = append(r.claim.Elevations, policy.Elevation{Role: role, Purpose: purpose})
	case name == "at":
		r.at, err = parseTime(value)
	case name == "from":
		if r.claim.From, err = policy.ParseFrom(value); err != nil {
			return fmt.Errorf("from is an address or unix, not %q", value)
		}
	case name == "vouched":
		r.claim.Vouched, err = parseVouched(value)
	default:
		return fmt.Errorf("unknown word %q after as; there are %s", w, asWords)
	}
	return err
}

const asWords = "user=, purpose=, second_factor, beyond, elevated=ROLE:PURPOSE, at=, from=, vouched and vouched="

// parseVouched reads what somebody vouches for: "roles:agent,clerk;groups:eu;region:EU".
func parseVouched(text string) (*policy.Vouched, error) {
	v := &policy.Vouched{Attributes: map[string]string{}}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, ":")
		names := slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("vouched=roles:R,R;groups:G,G;ATTRIBUTE:VALUE, not %q", part)
		case name == "roles":
			v.Roles = names
		case name == "groups":
			v.Groups = names
		default:
			v.Attributes[name] = value
		}
	}
	return v, nil
}

// parseTime reads a moment, with or without seconds: 2026-11-22T19:12Z.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse("2006-01-02T15:04Z07:00", text)
	if err != nil {
		t, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time: write 2026-11-22T19:12Z, or +01:00 for Z", text)
	}
	return t, nil
}
