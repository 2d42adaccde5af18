package policy

import (
	"maps"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// limits reads a section of limits. whose is for whom those count that do not
// say; together is OfRole or OfPurpose where that may be said, under its name.
func (r *reader) limits(n *yaml.Node, together Whose, under string) Limits {
	var l Limits
	of := func(m Measure) func(*yaml.Node) {
		return func(n *yaml.Node) {
			r.list(n, "limits", func(n *yaml.Node) {
				limit := r.limit(n, m, together)
				if limit.Whose == together {
					limit.Under = under
				}
				l = l.and(Limits{Each: []Limit{limit}})
			})
		}
	}
	refuse := func(into *bool) func(*yaml.Node) {
		return func(n *yaml.Node) { *into = r.oneOf(n, "limit", "allow", "refuse") == 1 }
	}
	r.fields(n, "limits", keys{
		"rows":       of(LimitRows),
		"bytes":      of(LimitBytes),
		"subjects":   of(LimitSubjects),
		"statements": of(LimitStatements),
		"values":     of(LimitValues),
		"copy":       refuse(&l.RefuseCopy),
		"unfiltered": refuse(&l.RefuseUnfiltered),
	})
	l.Each = slices.DeleteFunc(l.Each, func(l Limit) bool { return l.Most == 0 }) // said to be wrong
	return l
}

// limit reads one limit: a text, or a mapping for what a text has no room for.
func (r *reader) limit(n *yaml.Node, of Measure, together Whose) Limit {
	if n.Kind != yaml.MappingNode {
		if of == LimitValues {
			r.add(r.at(n), "a limit of values says of which class: {most: 500/day, of: email}")
			return Limit{}
		}
		return r.limitText(n, of)
	}
	var l Limit
	var name word
	warn := int64(80)
	whose, then := OfUser, ThenRefuse
	r.fields(n, "a limit", keys{
		"most": func(n *yaml.Node) { l = r.limitText(n, of) },
		"of":   func(n *yaml.Node) { name = r.text(n, "what is counted") },
		"per":  func(n *yaml.Node) { whose = r.whose(n, together) },
		"then": func(n *yaml.Node) { then = Then(max(0, r.oneOf(n, "then", thens...))) },
		"warn": func(n *yaml.Node) { warn = r.percent(n) },
	}, "most")
	if l.Most == 0 {
		return l
	}
	l.Name, l.Whose, l.Then, l.Warn = name.text, whose, then, l.at(warn)
	switch {
	case name.text != "" && of != LimitSubjects && of != LimitValues:
		r.add(name.pos, "of is the kind of data subjects, or the class of values: %s are counted as they are", of)
	case name.text == "" && of == LimitValues:
		r.add(r.at(n), "a limit of values says of which class: {most: 500/day, of: email}")
	case l.Per == PerQuery && then != ThenRefuse && then != ThenAlert:
		r.add(r.at(n), "at the end of one query there is refuse or alert, not %s", then)
	case l.Per != PerWindow && whose != OfUser:
		r.add(r.at(n), "a %s is one user's: per is for limits over a time", l.Span())
	default:
		if name.text != "" {
			r.doc.counted = append(r.doc.counted, countedName{name, of})
		}
		return l
	}
	return Limit{}
}

func (r *reader) limitText(n *yaml.Node, of Measure) Limit {
	w := r.text(n, "a limit")
	limit, err := parseLimit(of, w.text)
	if err != nil && w.text != "" {
		r.add(w.pos, "%v", err)
	}
	return limit
}

// whose reads for whom together a limit counts.
func (r *reader) whose(n *yaml.Node, together Whose) Whose {
	w := OfUser + Whose(max(0, r.oneOf(n, "per", whoses...)))
	if (w == OfRole || w == OfPurpose) && w != together {
		r.add(r.at(n), "per: %s is for limits of a %s", w, w)
	}
	return w
}

// percent reads a number from 0 to 100.
func (r *reader) percent(n *yaml.Node) int64 {
	w := r.text(n, "a number of percent")
	p, err := strconv.ParseInt(w.text, 10, 64)
	if err != nil || p < 0 || p > 100 {
		r.add(w.pos, "%q is not a number of percent from 0 to 100", w.text)
		return 0
	}
	return p
}

// countedName is a kind of data subjects or a class that a limit counts.
type countedName struct {
	name word
	of   Measure
}

// limits compares what limits name with what there is.
func (c *compiler) limits() {
	for _, n := range c.doc.counted {
		switch n.of {
		case LimitSubjects:
			if c.doc.subjects[n.name.text] == nil {
				c.unknown(n.name.pos, "kind of data subjects", n.name.text, slices.Sorted(maps.Keys(c.doc.subjects)))
			}
		default:
			if n.name.text == openClass || c.doc.classes[n.name.text] == nil {
				c.unknown(n.name.pos, "class", n.name.text, slices.Sorted(maps.Keys(c.doc.classes)))
			}
		}
	}
}

// LimitsSubjects tells whether anything that somebody gets is limited by data
// subjects, or by classes of values, which are known with them.
func (s *Set) LimitsSubjects() bool {
	limits := []Limits{s.doc.limits}
	for _, p := range s.doc.purposes {
		limits = append(limits, p.limits)
	}
	for _, r := range s.doc.roles {
		limits = append(limits, r.limits)
	}
	for _, u := range s.doc.users {
		limits = append(limits, u.limits)
	}
	return slices.ContainsFunc(limits, func(l Limits) bool {
		return slices.ContainsFunc(l.Each, func(l Limit) bool { return l.Of == LimitSubjects || l.Of == LimitValues })
	})
}
