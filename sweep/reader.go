package sweep

import (
	"bytes"
	"errors"
)

// stepSize is after how many bytes progress is told of.
const stepSize = 4 << 20

// reader compares the rows of one table as they come by COPY: fields that tabs
// separate, of which the first says which row it is, and a line feed.
type reader struct {
	scanner *scanner
	hits    *hits
	target  target
	report  *Report
	step    func(part float64) // of the table

	rest   []byte // of a row that is not whole yet
	taken  int64
	stepAt int64
	field  []byte
}

// Write takes the next bytes of the table.
func (r *reader) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, whole := bytes.Cut(p, []byte("\n"))
		if !whole {
			r.rest = append(r.rest, p...)
			break
		}
		if len(r.rest) > 0 {
			r.rest = append(r.rest, line...)
			line = r.rest
		}
		r.row(line)
		r.rest, p = r.rest[:0], after
	}
	r.taken += int64(n)
	r.report.Bytes += int64(n)
	if r.taken >= r.stepAt {
		r.stepAt = r.taken + stepSize
		r.step(min(1, float64(r.taken)/float64(max(1, r.target.size))))
	}
	return n, nil
}

// finish makes sure that the last row was whole.
func (r *reader) finish() error {
	if len(r.rest) > 0 {
		return errors.New("the last row was cut off")
	}
	return nil
}

// row compares one row. Most rows have no escapes and are compared as one text,
// for no needle has a tab.
func (r *reader) row(line []byte) {
	r.report.Rows++
	r.hits.begin()
	name, line, _ := bytes.Cut(line, []byte("\t"))
	if escaped(line) {
		r.fields(line, name)
		return
	}
	s, column, at := r.scanner, 0, 0
	s.scan(line, func(needle, end int) {
		// Counted on from the last one: a value may stand in a row any number of times.
		column += bytes.Count(s.folded[min(at, end):end], []byte("\t")) - bytes.Count(s.folded[min(at, end):at], []byte("\t"))
		at = end
		r.add(needle, column, name)
	})
	if r.target.refers {
		r.references(line, name)
	}
}

func (r *reader) add(needle, column int, name []byte) {
	r.hits.add(place{needle: needle, column: r.target.columns[column]}, r.target.label(name))
}

// references looks for short needles where there may be some.
func (r *reader) references(line, name []byte) {
	column := 0
	for field := range bytes.SplitSeq(line, []byte("\t")) {
		r.scanner.references(r.target.columns[column], field, func(needle int) { r.add(needle, column, name) })
		column++
	}
}

// fields compares a row field by field, with COPY's own escapes undone.
func (r *reader) fields(line, name []byte) {
	column := 0
	for field := range bytes.SplitSeq(line, []byte("\t")) {
		r.field = copied(r.field[:0], field)
		found := func(needle int) { r.add(needle, column, name) }
		r.scanner.scan(r.field, func(needle, _ int) { found(needle) })
		r.scanner.references(r.target.columns[column], r.field, found)
		column++
	}
}

// copied appends a field with COPY's escapes undone.
func copied(dst, field []byte) []byte {
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c == '\\' && i+1 < len(field) {
			i++
			c = field[i]
			if control, ok := controls[c]; ok {
				c = control
			} else if c == 'v' {
				c = '\v'
			}
		}
		dst = append(dst, c)
	}
	return dst
}
