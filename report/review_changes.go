package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Before is the review that one is held to.
type Before struct {
	File     string    `json:"file"`
	Made     time.Time `json:"made"`
	Reviewer string    `json:"reviewer"`
	Decision string    `json:"decision"`
	Digest   string    `json:"sha256"`
}

// Change is a difference to the review before.
type Change struct {
	Change string `json:"change"` // added, removed, changed
	What   string `json:"what"`
	Was    string `json:"was,omitempty"`
	Is     string `json:"is,omitempty"`
}

// ParseReview reads the JSON of a review.
func ParseReview(text []byte) (*Review, error) {
	var r Review
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read review: %w", err)
	}
	if r.Schema != ReviewSchema {
		return nil, fmt.Errorf("read review: its schema is %q, not %q", r.Schema, ReviewSchema)
	}
	return &r, nil
}

// since lists what is not as it was in another review: what is new first.
func (r *Review) since(last *Review) []Change {
	return changesFrom(last.granted(), r.granted())
}

// changesFrom lists what is not as it was, by what it is of.
func changesFrom(was, is map[string]string) []Change {
	changes := []Change{}
	for what, now := range is {
		if before, ok := was[what]; !ok {
			changes = append(changes, Change{"added", what, "", now})
		} else if before != now {
			changes = append(changes, Change{"changed", what, before, now})
		}
	}
	for what, before := range was {
		if _, ok := is[what]; !ok {
			changes = append(changes, Change{"removed", what, before, ""})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Or(cmp.Compare(a.Change, b.Change), cmp.Compare(a.What, b.What)) })
	return changes
}

// granted gives everything that a review is about, by what it is.
func (r *Review) granted() map[string]string {
	all := map[string]string{}
	for _, u := range r.Users {
		is := "roles " + strings.Join(u.Roles, ", ")
		if len(u.ActsAs) > 0 {
			is += "; acts as " + strings.Join(u.ActsAs, ", ")
		}
		if !u.Lapses.IsZero() {
			is += "; lapses " + u.Lapses.UTC().Format(time.DateOnly)
		}
		all["user "+u.Name] = is
	}
	for _, i := range r.Rights {
		all[fmt.Sprintf("user %s as %s for %s: class %s", i.User, i.Role, cmp.Or(i.Purpose, "any purpose"), cmp.Or(i.Class, "any"))] = i.Shown + map[bool]string{true: ", while elevated"}[i.Elevated]
	}
	for _, g := range r.Grants {
		all[fmt.Sprintf("role %s: %s on %s", g.Role, g.Operation, g.Table)] = "rows " + cmp.Or(g.Rows, "all")
	}
	for _, d := range r.Duties {
		all[fmt.Sprintf("role %s: %s of data subjects", d.Role, d.Right)] = "granted"
	}
	return all
}
