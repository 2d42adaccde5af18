package datamap

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/recognise"
)

// Evidence is one reason for what a column is thought to hold. It never holds a
// value.
type Evidence struct {
	Class  Class   `json:"class"`
	Says   string  `json:"says"`
	Weight float64 `json:"weight"` // how sure it would make us if there were nothing else, from 0 to 1
}

// Confidences that decide.
const (
	enough      = 0.5 // from here on a column gets the class
	doubt       = 0.3 // from here on it is not called open
	few         = 20  // so many values must have been looked at before nothing in them means anything
	byTypeAlone = 0.6 // how surely a column is open of which too little was looked at
	certain     = 0.8 // from here on a class contradicts a policy that says otherwise
)

// judge collects evidence on one column.
type judge struct {
	column   *catalog.Column
	hint     hint
	form     form
	table    *standing
	p        *profile // nil: nothing was sampled
	evidence []Evidence
	ofName   int // how many of them are of name and type
}

// standing is what a table is, as far as its columns' classes depend on it.
type standing struct {
	persons  bool // called as a table of persons is
	personal bool // of persons, or beside what is about them
}

func (j *judge) add(class Class, weight float64, format string, args ...any) {
	if weight >= 0.05 {
		j.evidence = append(j.evidence, Evidence{class, fmt.Sprintf(format, args...), math.Round(weight*100) / 100})
	}
}

// verdict gives the class that the evidence speaks for most, and how surely. Two
// pieces that speak for one class leave the doubt that both leave.
func (j *judge) verdict() (Class, float64) {
	left := map[Class]float64{}
	for _, e := range j.evidence {
		if _, ok := left[e.Class]; !ok {
			left[e.Class] = 1
		}
		left[e.Class] *= 1 - e.Weight
	}
	var best Class
	most := 0.0
	for _, k := range kinds {
		if doubt, ok := left[k.class]; ok && 1-doubt > most {
			best, most = k.class, 1-doubt
		}
	}
	return best, math.Round(most*100) / 100
}

// weigh collects all the evidence.
func (j *judge) weigh() {
	j.byType()
	j.byName()
	j.ofName = len(j.evidence)
	if j.p != nil && j.p.values > 0 {
		j.byChecksum()
		j.byContent()
		j.byWords()
		j.byText()
		j.byKeys()
	}
}

// byName weighs the name, as the type and the values let it stand.
func (j *judge) byName() {
	h := j.hint
	if h.class == "" {
		return
	}
	weight, but := h.weight, ""
	switch {
	case h.neutral:
		but = ", but goes on to say something about it"
	case !j.form.holds(h.class):
		weight, but = weight*cutOff, ", but "+j.column.Type.SQL+" does not hold it"
	case !h.strong && h.class == Name:
		weight, but = j.bareName(weight)
	case !h.strong && h.class == FreeText && j.table.personal:
		weight += 0.1
	case !h.strong && h.class == FreeText:
		weight *= 0.5
	}
	if less, why := j.contradicted(h.class); why != "" {
		weight, but = weight*less, ", but "+why
	}
	j.add(h.class, weight, "%s%s", h, but)
}

// bareName weighs "name" and the like by the table that it is in.
func (j *judge) bareName(weight float64) (float64, string) {
	if j.table.persons {
		return 0.75, ", and the table is one of persons"
	}
	return weight * 0.7, ""
}

// contradicted tells how much of what a name says is left, when samples enough
// say otherwise.
func (j *judge) contradicted(c Class) (left float64, why string) {
	p := j.p
	if p == nil || p.values < few || p.objects > 0 {
		return 1, ""
	}
	needs := func(least float64, what string, of ...sign) (float64, string) {
		n := 0
		for _, s := range of {
			n = max(n, p.signs[s])
		}
		if p.ratio(n) >= least {
			return 1, ""
		}
		return 0.35, fmt.Sprintf("%d of %d samples are %s", n, p.values, what)
	}
	switch c {
	case Email:
		return needs(0.3, "addresses", isEmail)
	case IP:
		return needs(0.3, "addresses", isIP)
	case Phone:
		return needs(0.3, "such numbers", isPhone, isDigits)
	case Card:
		return needs(0.1, "such numbers", isCard)
	case BirthDate:
		if j.form == formText {
			return needs(0.3, "dates", isDate)
		}
	case Name:
		if !j.hint.strong && !p.varied() && p.values >= 50 {
			return 0.35, fmt.Sprintf("there are %d different ones", len(p.distinct))
		}
		if j.hint.strong {
			return 1, ""
		}
		return needs(0.3, "shaped as names", isNameShape)
	case Address, FreeText, Username, Document, Vehicle, NationalID:
		if !p.varied() && p.values >= 50 {
			return 0.35, fmt.Sprintf("there are %d different ones", len(p.distinct))
		}
	}
	return 1, ""
}

// byType weighs types that say what they hold.
func (j *judge) byType() {
	switch j.form {
	case formNetwork:
		j.add(IP, 0.85, "the type is %s", j.column.Type.SQL)
	case formMAC:
		j.add(Device, 0.85, "the type is %s", j.column.Type.SQL)
	case formPoint:
		j.add(Location, 0.6, "the type is %s", j.column.Type.SQL)
	}
}

// sure is what is left of a weight when only so many values were looked at.
func (j *judge) sure(weight float64) float64 {
	n := float64(j.p.values)
	return weight * n / (n + 1)
}

// share adds evidence when enough of the values have a sign.
func (j *judge) share(c Class, s sign, least, weight float64, what string) {
	if f := j.p.share(s); f >= least {
		j.add(c, j.sure(weight)*math.Sqrt(f), "%d of %d samples are %s", j.p.signs[s], j.p.values, what)
	}
}

// byChecksum weighs what package recognise says of whole values.
func (j *judge) byChecksum() {
	if j.form == formDate || j.form == formBool {
		return
	}
	j.share(Email, isEmail, 0.1, 0.98, "e-mail addresses")
	j.share(Account, isIBAN, 0.1, 0.98, "IBANs")
	j.share(Credential, isSecret, 0.1, 0.97, "keys, tokens or hashes of passwords")
	// One number in ten has a right check digit by chance.
	j.share(Card, isCard, 0.6, 0.96, "numbers of cards with a right check digit")
	if kind, n := j.p.most(recognise.NationalIDs); n > 0 && j.p.share(isNational) >= 0.1 {
		least, weight := 0.6, 0.95
		if j.hint.class == NationalID && !j.hint.neutral {
			least = 0.1
		}
		if f := j.p.ratio(n); f >= least && j.p.varied() {
			j.add(NationalID, j.sure(weight)*math.Sqrt(f), "%d of %d samples are right as %s", n, j.p.values, kind)
		}
	}
}

// byContent weighs shapes.
func (j *judge) byContent() {
	p := j.p
	if j.form == formDate {
		j.born()
		return
	}
	if j.form != formNetwork {
		j.share(IP, isIP, 0.3, 0.95, "network addresses")
	}
	j.share(Device, isMAC, 0.5, 0.9, "hardware addresses")
	j.share(Device, isAgent, 0.3, 0.9, "what browsers say they are")
	if p.share(isCard) < 0.6 && p.share(isNational) < 0.6 && p.share(isIP) < 0.3 && p.varied() {
		j.share(Phone, isPhone, 0.5, 0.75, "written as telephone numbers")
	}
	if p.share(isCoordinate) >= 0.8 && j.form != formPoint {
		j.add(Location, 0.35, "%d of %d samples could be coordinates", p.signs[isCoordinate], p.values)
	}
	j.share(Address, isStreet, 0.3, 0.9, "streets with numbers")
	if p.share(isText) < 0.5 && p.varied() {
		j.persons()
	}
}

// born weighs dates that are spread as births are.
func (j *judge) born() {
	f := j.p.share(isBirth)
	if f >= 0.9 && j.table.persons && len(j.p.distinct)*2 > j.p.values && j.hint.class == "" {
		j.add(BirthDate, 0.2, "%d of %d samples are dates on which persons of today were born", j.p.signs[isBirth], j.p.values)
	}
}

// persons weighs names of persons and of towns.
func (j *judge) persons() {
	p := j.p
	company := p.share(isCompany) >= 0.2 || p.share(isCode) >= 0.2 || p.share(isStreet) >= 0.3
	place := p.share(isCity) >= 0.3 && p.share(isPerson) < 0.3
	single := math.Max(p.share(isFirst), p.share(isLast))
	switch {
	case company || j.hint.neutral:
	case p.share(isPerson) >= 0.25:
		j.add(Name, j.sure(0.9)*math.Min(1, 0.6+p.share(isPerson)/2), "%d of %d samples begin as names of persons do", p.signs[isPerson], p.values)
	case place:
	case single >= 0.15 && p.share(isOneName) >= 0.8, single >= 0.3 && p.share(isNameShape) >= 0.7:
		j.add(Name, j.sure(0.8)*math.Min(1, 0.55+single/2), "%d of %d samples are frequent first or last names", max(p.signs[isFirst], p.signs[isLast]), p.values)
	}
	if place && !company {
		j.add(City, j.sure(0.8)*math.Sqrt(p.share(isCity)), "%d of %d samples are towns", p.signs[isCity], p.values)
	}
}

// byWords weighs the vocabulary of special categories and of gender. Most of its
// words mean other things as well: alone they make no class but where hardly
// anything else could be meant.
func (j *judge) byWords() {
	if !slices.Contains([]form{formText, formEnum, formComposite}, j.form) {
		return
	}
	for _, w := range []struct {
		class  Class
		sign   sign
		weight float64
	}{
		{Health, isHealth, 0.7}, {Health, isICD, 0.55}, {Religion, isReligion, 0.7}, {Union, isUnion, 0.6}, {Orientation, isOrientation, 0.7},
		{Ethnicity, isEthnicity, 0.4}, {Politics, isPolitics, 0.6}, {Gender, isGender, 0.4},
	} {
		least := 0.5
		if j.hint.class == w.class {
			least = 0.1
		}
		if f := j.p.share(w.sign); f >= least && (len(j.p.distinct) >= 2 || j.hint.class == w.class) {
			weight := w.weight
			if !j.table.personal && j.hint.class != w.class {
				weight *= 0.5
			}
			j.add(w.class, j.sure(weight), "%d of %d samples are words for it", j.p.signs[w.sign], j.p.values)
		}
	}
}

// byText weighs sentences, and what is in them.
func (j *judge) byText() {
	p := j.p
	if p.share(isText) < 0.3 || !p.varied() {
		return
	}
	f := p.share(isText)
	weight := 0.15
	if j.table.personal && !j.hint.neutral {
		weight = 0.55
	}
	j.add(FreeText, j.sure(weight)*math.Sqrt(f), "%d of %d samples are sentences", p.signs[isText], p.values)
	if p.texts*20 >= p.signs[isText] {
		j.add(FreeText, j.sure(0.6), "persons or their data are in %d of them%s", p.texts, inside(p))
	}
}

// inside names what was found within texts.
func inside(p *profile) string {
	var names []string
	for k := recognise.Email; k <= recognise.URLPassword; k++ {
		if p.inside[k] > 0 {
			names = append(names, k.String())
		}
	}
	if names == nil {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}

// byKeys judges what stands at each key of JSON objects as a column of its own.
func (j *judge) byKeys() {
	p := j.p
	if p.objects*2 < p.values {
		return
	}
	for _, key := range sortedKeys(p.keys) {
		of := &judge{column: j.column, hint: named(key), form: formText, table: j.table, p: p.keys[key]}
		of.weigh()
		class, confidence := of.verdict()
		if confidence < enough {
			continue
		}
		name := "a key"
		if of.hint.class != "" { // then it consists of words that are known
			name = fmt.Sprintf("the key %q", of.hint.phrase)
		}
		if class.Special() {
			j.add(class, confidence, "%s holds %s", name, class)
			continue
		}
		j.add(Profile, confidence, "%s holds %s", name, class)
	}
}

func sortedKeys(keys map[string]*profile) []string {
	all := make([]string, 0, len(keys))
	for k := range keys {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}
