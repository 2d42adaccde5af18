package dsar

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"strconv"
)

// chunkSize is how many bytes of a document are collected before they go out.
const chunkSize = 32 << 10

// document writes one JSON document in chunks of whole lines. It holds a
// chunk, a line and a count for each table.
type document struct {
	yield   func(chunk []byte) error
	buf     []byte
	sum     hash.Hash
	hashing bool // we are within the value of "tables"
	counts  []count
	missing map[string]int64 // by column: values that cannot be opened
}

type count struct {
	table []byte // as JSON
	rows  int64
}

func newDocument(yield func([]byte) error) *document {
	return &document{yield: yield, sum: sha256.New(), missing: map[string]int64{}}
}

// begin writes all that comes before the first table.
func (d *document) begin(h header) error {
	head, err := encode(h)
	if err != nil {
		return err
	}
	d.write(bytes.TrimSuffix(head, []byte("}")))
	d.writeString(",")
	if err := d.endLine(); err != nil {
		return err
	}
	d.writeString(`"tables":`)
	d.hashing = true
	d.writeString("{")
	return d.endLine()
}

// table begins the next table.
func (d *document) table(name string) error {
	if err := d.endTable(","); err != nil {
		return err
	}
	quoted, err := encode(name)
	if err != nil {
		return err
	}
	d.write(quoted)
	d.writeString(":[")
	d.counts = append(d.counts, count{table: quoted})
	return d.endLine()
}

// row adds a row to the table.
func (d *document) row(value []byte) error {
	last := &d.counts[len(d.counts)-1]
	if last.rows > 0 {
		d.writeString(",")
		if err := d.endLine(); err != nil {
			return err
		}
	}
	last.rows++
	d.write(value)
	return nil
}

// missed counts a value that cannot be opened.
func (d *document) missed(column string) { d.missing[column]++ }

// endTable closes the array of the last table, if there is one.
func (d *document) endTable(separator string) error {
	if len(d.counts) == 0 {
		return nil
	}
	if d.counts[len(d.counts)-1].rows > 0 {
		if err := d.endLine(); err != nil {
			return err
		}
	}
	d.writeString("]" + separator)
	return d.endLine()
}

// finish writes all that comes after the last row.
func (d *document) finish() error {
	if err := d.endTable(""); err != nil {
		return err
	}
	d.writeString("}")
	d.hashing = false
	d.writeString(",")
	if err := d.endLine(); err != nil {
		return err
	}
	d.writeString(`"counts":{`)
	for i, c := range d.counts {
		if i > 0 {
			d.writeString(",")
		}
		d.write(c.table)
		d.writeString(":" + strconv.FormatInt(c.rows, 10))
	}
	d.writeString("},")
	if err := d.endLine(); err != nil {
		return err
	}
	if len(d.missing) > 0 {
		missing, err := encode(d.missing)
		if err != nil {
			return err
		}
		d.writeString(`"unreadable":` + string(missing) + ",")
		if err := d.endLine(); err != nil {
			return err
		}
	}
	d.writeString(`"sha256":"` + hex.EncodeToString(d.sum.Sum(nil)) + `"}`)
	return d.yield(d.buf)
}

func (d *document) writeString(s string) { d.write([]byte(s)) }

func (d *document) write(b []byte) {
	d.buf = append(d.buf, b...)
	if d.hashing {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			d.sum.Write(line)
		}
	}
}

// endLine ends a line, and with it the chunk when that is long enough.
func (d *document) endLine() error {
	if len(d.buf) < chunkSize {
		d.buf = append(d.buf, '\n')
		return nil
	}
	err := d.yield(d.buf)
	d.buf = d.buf[:0]
	return err
}

// encode gives JSON for people: no letters are escaped for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
