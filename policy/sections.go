package policy

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// naming checks a name that the policy gives to something of its own.
func (r *reader) naming(name word, what string) {
	if name.text == anyWord {
		r.add(name.pos, "%q is the word for every %s, not a name", anyWord, what)
	}
	for _, c := range []byte(name.text) {
		if c == '$' || c != '-' && !nameByte(c) {
			r.add(name.pos, "%q is not a name for a %s: letters, digits, _ and -", name.text, what)
			return
		}
	}
}

func (r *reader) subject(name word, n *yaml.Node) {
	r.naming(name, "subject")
	s := &subject{name: name}
	r.doc.subjects[name.text] = s
	r.fields(n, "a subject", keys{
		"table": func(n *yaml.Node) { s.table = r.name(n, "a table", 2) },
		"key":   func(n *yaml.Node) { s.key = r.name(n, "a column", 1) },
		"find_by": func(n *yaml.Node) {
			r.list(n, "columns", func(n *yaml.Node) { s.findBy = append(s.findBy, r.name(n, "a column", 1)) })
		},
		"consent": func(n *yaml.Node) { s.consent = r.consent(n) },
		"ledger":  func(n *yaml.Node) { s.ledger = r.truth(n) },
		"references": func(n *yaml.Node) {
			r.items(n, "references", func(n *yaml.Node) { s.references = append(s.references, r.reference(n)) })
		},
		"erase": func(n *yaml.Node) {
			r.items(n, "erase", func(n *yaml.Node) { s.erase = append(s.erase, r.handling(n)) })
		},
	}, "table", "key")
	if s.ledger && s.consent != nil {
		r.add(name.pos, "subject %q has both a ledger and a consent table: consents are recorded in one place", name.text)
	}
}

func (r *reader) consent(n *yaml.Node) *consentColumns {
	c := &consentColumns{}
	column := func(into *pattern) func(*yaml.Node) {
		return func(n *yaml.Node) { *into = r.name(n, "a column", 1) }
	}
	r.fields(n, "a consent", keys{
		"table":     func(n *yaml.Node) { c.table = r.name(n, "a table", 2) },
		"subject":   column(&c.subject),
		"purpose":   column(&c.purpose),
		"given":     column(&c.given),
		"withdrawn": column(&c.withdrawn),
	}, "table", "subject", "purpose", "given", "withdrawn")
	return c
}

// class reads the short form, a list of columns, or the long form.
func (r *reader) class(name word, n *yaml.Node) {
	r.naming(name, "class")
	c := &class{name: name}
	r.doc.classes[name.text] = c
	columns := func(n *yaml.Node) {
		r.list(n, "columns", func(n *yaml.Node) {
			c.columns = append(c.columns, r.pattern(n, "a column", 3))
		})
	}
	if n.Kind != yaml.MappingNode {
		columns(n)
		return
	}
	r.fields(n, "a class", keys{
		"columns": columns,
		"special": func(n *yaml.Node) { c.special = r.truth(n) },
		"seal":    func(n *yaml.Node) { c.seal.Mode = SealMode(r.oneOf(n, "seal", sealModes[1:]...) + 1) },
		"type":    func(n *yaml.Node) { c.seal.Type = r.sealType(n) },
		"format":  func(n *yaml.Node) { c.seal.Format = r.sealFormat(n) },
		"index":   func(n *yaml.Node) { c.seal.Blind = r.oneOf(n, "index", "blind") == 0 },
		"joins":   func(n *yaml.Node) { c.seal.Joins = r.truth(n) },
		"shred":   func(n *yaml.Node) { c.seal.Shred = r.truth(n) },
		"bind":    func(n *yaml.Node) { c.seal.Row = r.oneOf(n, "bind", "column", "row") == 1 },
		"clear": func(n *yaml.Node) {
			word := r.oneOf(n, "clear", "refuse", "accept", "find")
			c.seal.Clear, c.seal.Find = word > 0, word == 2
		},
		"damaged": func(n *yaml.Node) { c.seal.Hide = r.oneOf(n, "damaged", "error", "hide") == 1 },
		"about":   func(n *yaml.Node) { c.about = r.text(n, "a text").text },
		"scan":    func(n *yaml.Node) { c.scan = r.scan(n, "scan", scanWords) },
		"erase":   func(n *yaml.Node) { c.erase = r.erasing(n) },

		"provided":   func(n *yaml.Node) { c.provided = r.truth(n) },
		"identifies": func(n *yaml.Node) { c.known = r.truth(n) },
	}, "columns")
	if name.text == openClass && c.known {
		r.add(name.pos, "open columns are shown to everybody: they identify nobody")
	}
	if name.text == openClass && c.special {
		r.add(name.pos, "open columns are shown to everybody: they are not special")
	}
	r.sealing(c)
}

func (r *reader) role(name word, n *yaml.Node) {
	r.naming(name, "role")
	role := &role{name: name}
	r.doc.roles[name.text] = role
	r.fields(n, "a role", keys{
		"purposes": func(n *yaml.Node) { role.purposes = r.words(n, "a purpose") },
		"not":      func(n *yaml.Node) { role.not = r.words(n, "a purpose") },
		"tables": func(n *yaml.Node) {
			r.items(n, "tables", func(n *yaml.Node) { role.tables = append(role.tables, r.entry(n)) })
		},
		"limits":       func(n *yaml.Node) { role.limits = r.limits(n, OfRole, name.text) },
		"privacy":      func(n *yaml.Node) { role.privacy = r.rights(n) },
		"unrestricted": func(n *yaml.Node) { role.unrestricted = r.truth(n) },
		"hours":        func(n *yaml.Node) { role.hours = r.hours(n) },
		"from":         func(n *yaml.Node) { role.from = r.places(n) },
		"requires":     func(n *yaml.Node) { role.requires = r.words(n, "an attribute") },
		"state":        func(n *yaml.Node) { role.state = r.state(n) },
	})
	if role.unrestricted && len(role.tables) > 0 {
		r.add(name.pos, "role %q is unrestricted: its tables would have no effect", name.text)
	}
}

func (r *reader) entry(n *yaml.Node) entry {
	e := entry{pos: r.at(n), ops: Select}
	r.fields(n, "a table", keys{
		"on": func(n *yaml.Node) {
			r.list(n, "tables", func(n *yaml.Node) { e.on = append(e.on, r.pattern(n, "a table", 2)) })
		},
		"do": func(n *yaml.Node) {
			e.ops = 0
			r.list(n, "operations", func(n *yaml.Node) {
				if i := r.oneOf(n, "operation", opNames...); i >= 0 {
					e.ops |= 1 << i
				}
			})
		},
		"rows": func(n *yaml.Node) { e.rows = r.filter(n) },
	}, "on")
	return e
}

func (r *reader) filter(n *yaml.Node) filter {
	w := r.text(n, "a condition in SQL")
	if w.text == "" {
		return filter{}
	}
	f, err := parseFilter(w.text)
	if err != nil {
		r.add(w.pos, "row filter: %v", err)
		return filter{}
	}
	f.pos = w.pos
	return f
}

// privacyRights are the faces of the rights of data subjects that a role may
// serve.
var privacyRights = []string{"export", "erase", "rectify", "restrict", "consent", auditRight, "contain", "hold"}

func (r *reader) rights(n *yaml.Node) []string {
	var rights []string
	r.list(n, "rights", func(n *yaml.Node) {
		if i := r.oneOf(n, "right", privacyRights...); i >= 0 {
			rights = append(rights, privacyRights[i])
		}
	})
	return rights
}

// state reads enforce, observe or draft. What is neither is a problem, and
// counts as a draft until then.
func (r *reader) state(n *yaml.Node) state {
	if i := r.oneOf(n, "state", stateNames...); i >= 0 {
		return state(i)
	}
	return drafted
}

func (r *reader) rule(n *yaml.Node) {
	u := &rule{pos: r.at(n)}
	matched := false
	r.fields(n, "a rule", keys{
		"role":    func(n *yaml.Node) { u.roles = r.selector(n, "a role") },
		"for":     func(n *yaml.Node) { u.purposes = r.selector(n, "a purpose") },
		"on":      func(n *yaml.Node) { u.classes = r.selector(n, "a class") },
		"show":    func(n *yaml.Node) { r.showInto(u, n) },
		"match":   func(n *yaml.Node) { matched = true; u.treatment.Match = r.match(n) },
		"because": func(n *yaml.Node) { u.because = r.text(n, "a text").text },
		"state":   func(n *yaml.Node) { u.state = r.state(n) },
		"owner":   func(n *yaml.Node) { u.owner = r.text(n, "a name").text },
		"expires": func(n *yaml.Node) { u.expires = r.lastDay(n) },
	}, "role", "for", "on", "show")
	u.treatment.Rule, u.treatment.Because = u.pos.line(), u.because
	switch masked := u.treatment.Show == ShowMasked; {
	case masked && !matched:
		u.treatment.Match = MatchMasked
	case !masked && matched:
		r.add(u.pos, `"match" says what a condition on a masked column sees: this rule does not mask`)
	}
	if u.treatment.Show == ShowRefuse && !u.expires.IsZero() {
		r.add(u.pos, "a refusal does not expire: remove the rule when it is over")
	}
	r.doc.rules = append(r.doc.rules, u)
}

func (r *reader) showInto(u *rule, n *yaml.Node) {
	t := r.show(n)
	u.treatment.Show, u.treatment.Mask, u.treatment.Min = t.Show, t.Mask, t.Min
}

// show reads clear, refuse, aggregate(min n) or a mask.
func (r *reader) show(n *yaml.Node) Treatment {
	w := r.text(n, "clear, refuse or a mask")
	switch w.text {
	case "", "refuse":
		return Treatment{}
	case "clear":
		return Treatment{Show: ShowClear}
	}
	if least, is, err := parseAggregate(w.text); is {
		if err != nil {
			r.add(w.pos, "%v", err)
			return Treatment{}
		}
		return Treatment{Show: ShowAggregate, Min: least}
	}
	mask, err := ParseMask(w.text)
	if err != nil {
		r.add(w.pos, "%v", err)
		return Treatment{}
	}
	return Treatment{Show: ShowMasked, Mask: mask, Match: MatchMasked}
}

// match reads what predicates see; matchNames stand in the order of Match.
func (r *reader) match(n *yaml.Node) Match {
	return Match(max(r.oneOf(n, "match", matchNames...), 0))
}

func (r *reader) selector(n *yaml.Node, what string) selector {
	words := r.words(n, what)
	if !named(words, anyWord) {
		return selector{words: words}
	}
	if len(words) > 1 {
		r.add(words[0].pos, "%q stands alone: it is every one of them", anyWord)
	}
	return selector{any: true}
}

// user reads a user: every key that the language does not know is an
// attribute, and one that ends in _until is a day on which the user's roles
// lapse.
func (r *reader) user(name word, n *yaml.Node) {
	u := &user{name: name, attributes: map[string]string{}}
	r.doc.users[name.text] = u
	known := keys{
		"roles":  func(n *yaml.Node) { u.roles = r.words(n, "a role") },
		"act_as": func(n *yaml.Node) { r.actAs(u, n) },
		"limits": func(n *yaml.Node) { u.limits = r.limits(n, 0, "") },
		"hours":  func(n *yaml.Node) { u.hours = r.hours(n) },
		"from":   func(n *yaml.Node) { u.from = r.places(n) },
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if known[key.Value] == nil && key.Kind == yaml.ScalarNode && key.Tag != "!!merge" {
				known[key.Value] = r.attribute(u, word{key.Value, r.at(key)})
			}
		}
	}
	r.fields(n, "a user", known)
}

// actAs reads the short form, a list of roles, or the long form.
func (r *reader) actAs(u *user, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		u.actAs = r.words(n, "a role")
		return
	}
	r.fields(n, "act_as", keys{
		"roles":  func(n *yaml.Node) { u.actAs = r.words(n, "a role") },
		"signed": func(n *yaml.Node) { u.signed = r.oneOf(n, "signed", "false", "true") == 1 },
	}, "roles")
}

// attributeName checks a name that a row filter could use.
func (r *reader) attributeName(name word) bool {
	ok := attributeLength(name.text) == len(name.text)
	if !ok {
		r.add(name.pos, "%q is not a name for an attribute: letters, digits and _", name.text)
	}
	return ok
}

// untilSuffix ends the names of the attributes that are last days.
const untilSuffix = "_until"

func (r *reader) attribute(u *user, key word) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			r.add(key.pos, "unknown key %q in a user%s; an attribute is a single value",
				key.text, didYouMean(key.text, []string{"roles", "act_as", "limits", "hours", "from"}))
			return
		}
		if !r.attributeName(key) {
			return
		}
		if strings.HasSuffix(key.text, untilSuffix) {
			u.until = append(u.until, eligibility{key.text, r.lastDay(n)})
		}
		u.attributes[key.text] = r.text(n, "a value").text
	}
}

func (r *reader) functions(n *yaml.Node) {
	d := r.doc
	r.fields(n, "functions", keys{
		"allow": func(n *yaml.Node) {
			r.list(n, "functions", func(n *yaml.Node) { d.functions = append(d.functions, r.name(n, "a function", 2)) })
		},
		"extensions": func(n *yaml.Node) { d.extensions = append(d.extensions, r.words(n, "an extension")...) },
	})
}
