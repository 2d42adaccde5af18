package dsar

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

// Controller is what neither the policy nor the database knows of what a subject
// must be told. What is missing the package says is not stated.
type Controller struct {
	Name      string     `json:"name,omitempty"`
	Address   string     `json:"address,omitempty"`
	Contact   string     `json:"contact,omitempty"`
	Officer   string     `json:"data_protection_officer,omitempty"`
	Authority string     `json:"complaints_to,omitempty"` // the supervisory authority
	Sources   []string   `json:"sources,omitempty"`       // of data that the subject did not provide
	Automated string     `json:"automated_decisions,omitempty"`
	Outside   []Outside  `json:"recipients,omitempty"` // to whom data is disclosed beside those who ask the database
	Transfers []Transfer `json:"transfers,omitempty"`
	Erasure   []string   `json:"time_limits,omitempty"` // that the policy does not know
}

// Outside is a recipient that the controller declares.
type Outside struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
}

// Transfer is one to a third country or an international organisation.
type Transfer struct {
	To         string `json:"to"`
	Safeguards string `json:"safeguards,omitempty"`
}

// About is what a subject must be told beside the data (GDPR, Article 15(1) and
// (2)).
type About struct {
	Controller Controller        `json:"controller"`
	Purposes   []PurposeOf       `json:"purposes"`
	Categories []Category        `json:"categories"`
	Seen       Seen              `json:"recipients_observed"`
	Retention  []TimeLimit       `json:"retention"`
	Rights     []string          `json:"rights"`
	Missing    map[string]string `json:"not_stated,omitempty"` // what should be here, by its place
}

// PurposeOf is a purpose that the subject's data is used for.
type PurposeOf struct {
	Name    string   `json:"name"`
	About   string   `json:"about,omitempty"`
	Basis   string   `json:"basis"`
	Consent string   `json:"consent,omitempty"`
	Classes []string `json:"categories"`
	Roles   []string `json:"roles"` // that see the data for it
}

// Category is a class of data.
type Category struct {
	Name     string   `json:"name"`
	About    string   `json:"about,omitempty"`
	Special  bool     `json:"special,omitempty"`  // of Article 9
	Provided bool     `json:"provided,omitempty"` // by the subject
	Columns  []string `json:"columns"`
}

// TimeLimit is how long rows of a table are kept.
type TimeLimit struct {
	Table   string `json:"table"`
	Keep    string `json:"keep,omitempty"` // 3y; "" for as long as the reason holds
	After   string `json:"after,omitempty"`
	Then    string `json:"then"`
	Because string `json:"because,omitempty"`
}

// about gathers what a subject must be told.
func (p *packer) about(ctx context.Context, tx pgx.Tx) (About, error) {
	if p.options.Portable {
		return About{}, nil
	}
	g := p.graph
	seen, err := p.seen(ctx, tx)
	if err != nil {
		return About{}, err
	}
	return About{
		Controller: p.options.Controller, Purposes: g.purposes(), Categories: g.categories(), Seen: seen,
		Retention: g.timeLimits(), Rights: rights, Missing: p.options.Controller.missing(),
	}, nil
}

// rights are those that a subject must be told of (Article 15(1)(e) and (f), and
// what Articles 13 and 14 name beside).
var rights = []string{
	"to have what is wrong rectified (Article 16)",
	"to have it erased, where no duty to keep it stands against that (Article 17)",
	"to have its use restricted (Article 18)",
	"to take along what you provided, where it is used with your consent or for a contract with you (Article 20)",
	"to object to uses that rest on a legitimate interest or a public task, and at any time to direct marketing (Article 21)",
	"to withdraw a consent at any time (Article 7(3))",
	"to lodge a complaint with a supervisory authority (Article 77)",
}

// missing says what the controller does not.
func (c Controller) missing() map[string]string {
	missing := map[string]string{}
	for _, m := range []struct {
		place, is string
		stated    bool
	}{
		{"controller.name", "who is responsible", c.Name != ""},
		{"controller.complaints_to", "the supervisory authority", c.Authority != ""},
		{"controller.sources", "where data that you did not provide is from", len(c.Sources) > 0},
		{"controller.automated_decisions", "whether decisions are made by machines alone, and how", c.Automated != ""},
		{"controller.transfers", "whether data goes to third countries, and under which safeguards", c.Transfers != nil},
	} {
		if !m.stated {
			missing[m.place] = m.is
		}
	}
	return missing
}

// bases gives the words for legal bases.
var bases = map[string]string{
	"consent":             "your consent: Article 6(1)(a)",
	"contract":            "a contract with you: Article 6(1)(b)",
	"legal_obligation":    "a legal obligation: Article 6(1)(c)",
	"vital_interests":     "vital interests: Article 6(1)(d)",
	"public_task":         "a public task: Article 6(1)(e)",
	"legitimate_interest": "a legitimate interest: Article 6(1)(f)",
}

// purposes gives the purposes for which the policy lets anybody see the tables
// that hold rows of the subject.
func (g *Graph) purposes() []PurposeOf {
	classes, roles := map[string]map[string]bool{}, map[string]map[string]bool{}
	class := g.classOf()
	for _, u := range g.uses() {
		if classes[u.purpose] == nil {
			classes[u.purpose], roles[u.purpose] = map[string]bool{}, map[string]bool{}
		}
		classes[u.purpose][class[u.column].Name] = true
		roles[u.purpose][u.role] = true
	}
	list := []PurposeOf{}
	for _, item := range g.set.Processing().Purposes {
		if classes[item.Name] == nil {
			continue
		}
		list = append(list, PurposeOf{
			Name: item.Name, About: item.About, Basis: cmp.Or(bases[item.Basis], "not stated"), Consent: item.Consent,
			Classes: slices.Sorted(maps.Keys(classes[item.Name])), Roles: slices.Sorted(maps.Keys(roles[item.Name])),
		})
	}
	return list
}

// classOf gives the class of every column of the tables that hold rows of the
// subject.
func (g *Graph) classOf() map[string]policy.Class {
	found := map[string]policy.Class{}
	for _, t := range g.Tables {
		for _, c := range t.Relation.Columns {
			if class, ok := g.set.Class(t.Relation, c.Name); ok {
				found[t.Relation.QualifiedName()+"."+c.Name] = class
			}
		}
	}
	return found
}

func (g *Graph) categories() []Category {
	list := []Category{}
	columns := map[string][]string{}
	for column, class := range g.classOf() {
		columns[class.Name] = append(columns[class.Name], column)
	}
	for _, class := range g.set.Processing().Classes {
		if found := columns[class.Name]; found != nil {
			slices.Sort(found)
			about := class.About
			if class.Open() {
				about = cmp.Or(about, "what is in no other category")
			}
			list = append(list, Category{class.Name, about, class.Special, class.Provided, found})
		}
	}
	return list
}

// timeLimits gives what the policy says of how long rows are kept, and of what
// an erasure would leave.
func (g *Graph) timeLimits() []TimeLimit {
	list := []TimeLimit{}
	for _, r := range g.set.Retention() {
		if g.tableOf(r.Relation) != nil {
			list = append(list, TimeLimit{Table: r.Relation.QualifiedName(), Keep: r.Keep.String(), After: r.Since(), Then: r.Then})
		}
	}
	for _, h := range g.Subject.Erase {
		if g.tableOf(h.Relation) == nil || h.Do == policy.FateDelete {
			continue
		}
		list = append(list, TimeLimit{
			Table: h.Relation.QualifiedName(), Keep: h.For.String(), After: h.After, Then: "when you are erased: " + h.Do.String(), Because: h.Because,
		})
	}
	return list
}
