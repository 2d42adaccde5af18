package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Target is who is put in quarantine. The zero Target is nobody.
type Target uint8

// Who is put in quarantine.
const (
	TargetUser    Target = iota + 1 // who acts: the login, or the end user behind it
	TargetLogin                     // whoever acts by the login
	TargetAddress                   // whoever comes from the address
)

func (t Target) String() string {
	if t < TargetUser || t > TargetAddress {
		return "nobody"
	}
	return [...]string{"user", "login", "address"}[t-TargetUser]
}

// Quarantine keeps somebody out for a time.
type Quarantine struct {
	Who Target
	For time.Duration // 0: until released
}

// Response is what is done when something was noticed, besides that somebody is
// told, which is done always. The zero Response is that alone.
type Response struct {
	Slow        bool // the session's statements wait
	StepUp      bool // the session's statements are refused until a second factor is given
	End         bool // the session ends
	Quarantines []Quarantine
}

// parseResponse reads one of the words of a response: "alert", "slow",
// "step-up", "end", "quarantine", "quarantine 1h", "quarantine address 30m".
func parseResponse(text string, into *Response) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		return errors.New("a response is alert, slow, step-up, end, or quarantine with a time")
	}
	switch {
	case words[0] == "quarantine":
		q, err := parseQuarantine(words[1:])
		if err != nil {
			return err
		}
		into.Quarantines = append(into.Quarantines, q)
		return nil
	case len(words) > 1:
		return fmt.Errorf("unknown response %q: alert, slow, step-up, end, or quarantine with a time", text)
	}
	switch words[0] {
	case "alert":
	case "slow":
		into.Slow = true
	case "step-up":
		into.StepUp = true
	case "end":
		into.End = true
	default:
		return fmt.Errorf("unknown response %q: alert, slow, step-up, end, or quarantine with a time", text)
	}
	return nil
}

// maxQuarantine bounds what is a time and not a slip; who is to stay out for
// longer stays out until released.
const maxQuarantine = 366 * 24 * time.Hour

func parseQuarantine(words []string) (Quarantine, error) {
	q := Quarantine{Who: TargetUser}
	if len(words) > 0 {
		if i := slices.Index([]string{"user", "login", "address"}, words[0]); i >= 0 {
			q.Who, words = TargetUser+Target(i), words[1:]
		}
	}
	switch len(words) {
	case 0:
		return q, nil
	case 1:
		d, err := time.ParseDuration(words[0])
		if err != nil || d < time.Second || d > maxQuarantine {
			return q, fmt.Errorf("%q is not a time from 1s to a year, as 30m or 24h", words[0])
		}
		q.For = d
		return q, nil
	default:
		return q, errors.New("a quarantine is of a user, login or address, for a time: quarantine address 30m")
	}
}

// response reads a response or a list of them.
func (r *reader) response(n *yaml.Node) Response {
	var all Response
	r.list(n, "responses", func(n *yaml.Node) {
		w := r.text(n, "a response")
		if err := parseResponse(w.text, &all); err != nil && w.text != "" {
			r.add(w.pos, "%v", err)
		}
	})
	return all
}
