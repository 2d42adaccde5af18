package datamap

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/pgveil/pgveil/recognise"
)

// profile is what the sampled values of one column have in common. It holds
// counts, and keys of JSON objects, and no value.
type profile struct {
	rows   int // sampled
	nulls  int
	large  int // left out, for they are too large to be read
	values int // looked at: elements of arrays count one by one
	sealed int // not looked at
	signs  [signs]int
	kinds  map[recognise.Kind]int // of whole values
	inside map[recognise.Kind]int // within texts
	texts  int                    // texts that somebody's first name is in, or that something was found in

	distinct map[uint64]struct{}
	seed     maphash.Seed
	objects  int                 // values that are JSON objects or arrays of them
	keys     map[string]*profile // of JSON objects, at any depth
	depth    int
}

// Bounds on what a profile remembers, whatever the values are.
const (
	maxDistinct = 4096
	maxKeys     = 128
	maxElements = 32
	maxDepth    = 8
)

func newProfile(depth int) *profile {
	return &profile{
		kinds: map[recognise.Kind]int{}, inside: map[recognise.Kind]int{},
		distinct: map[uint64]struct{}{}, seed: maphash.MakeSeed(), keys: map[string]*profile{}, depth: depth,
	}
}

// null counts a row without a value.
func (p *profile) null() { p.rows++; p.nulls++ }

// tooLarge counts a row whose value was not read.
func (p *profile) tooLarge() { p.rows++; p.large++ }

// seal counts a row whose value is sealed.
func (p *profile) seal() { p.rows++; p.sealed++ }

// add counts a row's value.
func (p *profile) add(value []byte) {
	p.rows++
	p.one(value)
}

// elements counts a row's array.
func (p *profile) elements(values [][]byte) {
	p.rows++
	for _, v := range values[:min(len(values), maxElements)] {
		p.one(v)
	}
}

func (p *profile) one(value []byte) {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return
	}
	p.values++
	if len(p.distinct) < maxDistinct {
		p.distinct[maphash.Bytes(p.seed, value)] = struct{}{}
	}
	if (value[0] == '{' || value[0] == '[') && p.depth < maxDepth && p.object(value) {
		p.objects++
		return
	}
	found, kinds := look(value)
	for s, is := range found {
		if is {
			p.signs[s]++
		}
	}
	for _, k := range kinds.Kinds() {
		p.kinds[k]++
	}
	if found[isText] {
		p.text(value)
	}
}

// inText finds what is worth finding within a text.
var inText = recognise.New(recognise.All)

// text looks into a text.
func (p *profile) text(value []byte) {
	hit := false
	for m, ok := inText.Next(value, 0); ok; m, ok = inText.Next(value, m.To) {
		p.inside[m.Kind]++
		hit = true
	}
	for i, w := range bytes.Fields(value) {
		w = bytes.Trim(w, ".,;:!?\"'()")
		if i > 0 && len(w) > 2 && w[0] >= 'A' && w[0] <= 'Z' && lexiconValues("first")[fold(string(w))] {
			hit = true
			break
		}
	}
	if hit {
		p.texts++
	}
}

// object looks at a value as JSON, and tells whether it is such. One that was cut
// off counts as far as it goes.
func (p *profile) object(value []byte) bool {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	found := 0
	p.member(d, "", 0, &found)
	return found > 0
}

// member reads one value, which stands at a key, and what is within.
func (p *profile) member(d *json.Decoder, key string, depth int, found *int) bool {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return false
	}
	switch t := t.(type) {
	case json.Delim:
		return p.members(d, t, key, depth, found)
	case string:
		p.under(key, []byte(t))
	case json.Number:
		p.under(key, []byte(t))
	}
	return true
}

func (p *profile) members(d *json.Decoder, open json.Delim, key string, depth int, found *int) bool {
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return false
			}
			key, _ = t.(string)
			*found++
		}
		if !p.member(d, key, depth+1, found) {
			return false
		}
	}
	_, err := d.Token()
	return err == nil
}

// under counts a value that stands at a key of an object.
func (p *profile) under(key string, value []byte) {
	if key == "" {
		return
	}
	of := p.keys[key]
	if of == nil {
		if len(p.keys) == maxKeys {
			return
		}
		of = newProfile(p.depth + 1)
		p.keys[key] = of
	}
	of.add(value)
}

// share gives how many of the values have a sign, from 0 to 1.
func (p *profile) share(s sign) float64 { return p.ratio(p.signs[s]) }

func (p *profile) ratio(n int) float64 {
	if p.values == 0 {
		return 0
	}
	return float64(n) / float64(p.values)
}

// varied tells whether the values are not just some few that come again.
func (p *profile) varied() bool {
	return len(p.distinct) > 12 || len(p.distinct)*3 > p.values
}

// most gives the kind that most values are, of a set, and how many are.
func (p *profile) most(set recognise.Set) (best recognise.Kind, n int) {
	for _, k := range slices.Sorted(maps.Keys(p.kinds)) {
		if set.Has(k) && p.kinds[k] > n {
			best, n = k, p.kinds[k]
		}
	}
	return best, n
}
