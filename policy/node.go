package policy

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Bounds of a policy: far above any real one, far below what hurts.
const (
	maxFileSize = 1 << 20
	maxFiles    = 1000
	maxDepth    = 32
	maxText     = 4096 // of a single value
)

// reader turns YAML nodes into a Document. It goes on after a problem, so that
// all of them are found; what it made is used only when there were none.
type reader struct {
	problems
	file string
	doc  *Document
	seen map[string]Pos // what is defined, where: "role \"analyst\""
}

// word is a string of the policy, and where it stands.
type word struct {
	text string
	pos  Pos
}

// tree parses the YAML of a file. It gives nil for a file that says nothing
// or that is not YAML.
func (r *reader) tree(f File) *yaml.Node {
	r.file = f.Name
	start := Pos{f.Name, 1, 1}
	if len(f.Text) > maxFileSize {
		r.add(start, "the file is larger than %d bytes", maxFileSize)
		return nil
	}
	var documents []yaml.Node
	err := yaml.Load([]byte(f.Text), &documents, yaml.WithAllDocuments(), yaml.WithUniqueKeys(false),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		r.add(r.errorPos(err), "not YAML: %s", message(err))
		return nil
	}
	switch len(documents) {
	case 0:
		return nil
	case 1:
	default:
		r.add(r.at(&documents[1]), "a file holds one YAML document")
	}
	root := &documents[0]
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	r.plain(root)
	return root
}

// errorPos is where the YAML library says that an error lies.
func (r *reader) errorPos(err error) Pos {
	pos := Pos{r.file, 1, 1}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok && load.Mark.Line > 0 {
		pos.Line, pos.Column = load.Mark.Line, max(load.Mark.Column, 1)
	}
	return pos
}

func message(err error) string {
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		return load.Message
	}
	return err.Error()
}

// plain refuses the parts of YAML that let a text mean something other than
// what it shows: anchors, aliases, merge keys and tags.
func (r *reader) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		r.add(r.at(n), "a policy has no anchors and aliases: write *%s out", n.Value)
	case n.Anchor != "":
		r.add(r.at(n), "a policy has no anchors and aliases: remove &%s", n.Anchor)
	case n.Tag == "!!merge":
		r.add(r.at(n), "a policy has no merge keys: write the keys out")
	case n.Style&yaml.TaggedStyle != 0:
		r.add(r.at(n), "a policy has no tags: remove %s", n.Tag)
	}
	for _, c := range n.Content {
		r.plain(c)
	}
}

func (r *reader) at(n *yaml.Node) Pos { return Pos{r.file, max(n.Line, 1), max(n.Column, 1)} }

// wrongKind reports a node that is not what it should be. Aliases are
// reported by plain.
func (r *reader) wrongKind(n *yaml.Node, want string) {
	if n.Kind == yaml.AliasNode {
		return
	}
	r.add(r.at(n), "expected %s, found %s", want, kindName(n))
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || n.Value == ""):
		return "nothing"
	case n.Kind == yaml.ScalarNode:
		return "a single value"
	default:
		return "something else"
	}
}

// keys says how the value of each known key of a mapping is read.
type keys map[string]func(*yaml.Node)

// fields reads a mapping whose keys the language fixes.
func (r *reader) fields(n *yaml.Node, what string, known keys, required ...string) {
	if n.Kind != yaml.MappingNode {
		r.wrongKind(n, what+" as a mapping")
		return
	}
	seen := map[string]Pos{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		first, again := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.notMerge(key, "a key")
		case !ok:
			r.add(r.at(key), "unknown key %q in %s%s", key.Value, what, didYouMean(key.Value, slices.Sorted(maps.Keys(known))))
		case again:
			r.add(r.at(key), "key %q is there twice; the other is at %s", key.Value, first)
		default:
			seen[key.Value] = r.at(key)
			read(value)
		}
	}
	for _, key := range required {
		if _, ok := seen[key]; !ok {
			r.add(r.at(n), "%s needs %q", what, key)
		}
	}
}

// notMerge reports a key that is no name, unless plain did.
func (r *reader) notMerge(key *yaml.Node, want string) {
	if key.Tag != "!!merge" {
		r.wrongKind(key, want)
	}
}

// entries reads a mapping whose keys are names that the policy defines.
func (r *reader) entries(n *yaml.Node, what string, read func(name word, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.wrongKind(n, "a mapping from names to "+what+" definitions")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Value == "" {
			r.notMerge(key, "the name of a "+what)
			continue
		}
		r.define(what+" "+key.Value, r.at(key))
		read(word{key.Value, r.at(key)}, n.Content[i+1])
	}
}

// define notes that something is defined, and refuses to have it twice in all
// the files together.
func (r *reader) define(what string, pos Pos) {
	if first, again := r.seen[what]; again {
		r.add(pos, "%s is defined twice; the other is at %s", what, first)
		return
	}
	r.seen[what] = pos
}

// list reads a list; a single value that is not a list counts as one of one.
func (r *reader) list(n *yaml.Node, what string, read func(*yaml.Node)) {
	switch {
	case n.Kind != yaml.SequenceNode:
		read(n)
	case len(n.Content) == 0:
		r.add(r.at(n), "an empty list; expected %s", what)
	default:
		for _, item := range n.Content {
			read(item)
		}
	}
}

// items reads what must be a list.
func (r *reader) items(n *yaml.Node, what string, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.wrongKind(n, "a list of "+what)
		return
	}
	for _, item := range n.Content {
		read(item)
	}
}

// text reads a single value as it is written. null is a word of the language
// (a mask), so it counts when it is written out.
func (r *reader) text(n *yaml.Node, what string) word {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" && n.Value != "null" || n.Value == "" {
		r.wrongKind(n, what)
		return word{pos: r.at(n)}
	}
	if len(n.Value) > maxText {
		r.add(r.at(n), "a value is longer than %d bytes", maxText)
		return word{pos: r.at(n)}
	}
	return word{n.Value, r.at(n)}
}

// words reads a list of names.
func (r *reader) words(n *yaml.Node, what string) []word {
	var found []word
	r.list(n, what, func(item *yaml.Node) {
		w := r.text(item, what)
		if w.text != "" && named(found, w.text) {
			r.add(w.pos, "%q is there twice", w.text)
		}
		found = append(found, w)
	})
	return found
}

// oneOf reads a word that must be one of a few, and gives its index; -1 when
// it is none.
func (r *reader) oneOf(n *yaml.Node, what string, known ...string) int {
	w := r.text(n, what)
	if w.text == "" {
		return -1
	}
	i := slices.Index(known, w.text)
	if i < 0 {
		r.add(w.pos, "unknown %s %q: %s%s", what, w.text, strings.Join(known, ", "), didYouMean(w.text, known))
	}
	return i
}

func (r *reader) truth(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
		r.wrongKind(n, "true or false")
		return false
	}
	return strings.EqualFold(n.Value, "true")
}

// lastDay reads a date, and gives the first moment after it, in UTC: what has
// a last day is over when that day is.
func (r *reader) lastDay(n *yaml.Node) time.Time {
	w := r.text(n, "a date")
	if w.text == "" {
		return time.Time{}
	}
	end, err := dayAfter(w.text)
	if err != nil {
		r.add(w.pos, "%q is not a date: write year-month-day, as in 2027-03-01", w.text)
	}
	return end
}

// dayAfter gives the first moment after a day, in UTC.
func dayAfter(text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, err
	}
	return day.AddDate(0, 0, 1), nil
}

// pattern reads a dotted name with the given number of parts.
func (r *reader) pattern(n *yaml.Node, what string, parts int) pattern {
	w := r.text(n, what)
	if w.text == "" {
		return pattern{pos: w.pos}
	}
	p, err := parsePattern(w.text)
	switch {
	case err != nil:
		r.add(w.pos, "%s: %v", what, err)
	case len(p.parts) != parts:
		r.add(w.pos, "%q is not %s: write %s", w.text, what, [...]string{"", "name", "schema.name", "schema.table.column"}[parts])
	default:
		p.pos = w.pos
		return p
	}
	return pattern{text: w.text, pos: w.pos}
}

// name reads a dotted name without wildcards.
func (r *reader) name(n *yaml.Node, what string, parts int) pattern {
	p := r.pattern(n, what, parts)
	if len(p.parts) > 0 && !p.exact() {
		r.add(p.pos, "%q must name one %s: no * here", p.text, strings.TrimPrefix(what, "a "))
	}
	return p
}
