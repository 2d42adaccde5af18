package proxy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/rewrite"
)

// pictures are the images of rows that a flight changes, until the log has them.
type pictures struct {
	columns [][]byte // of the row that is read; nil for NULL
	albums  []album  // in the order of the statements and their rows
}

// album is what goes into one record.
type album struct {
	of      *rewrite.Imaging
	images  audit.Images
	missing int64
	why     string
}

// canPicture tells whether images of what a flight is about to change can be sealed,
// if there are to be any. If not, it must not be sent.
func (s *session) canPicture(f *flight) error {
	if f.naming == nil || !slices.ContainsFunc(f.naming.steps, func(step *rewrite.Naming) bool { return step != nil && step.Pictured() > 0 }) {
		return nil
	}
	if s.srv.sealing.By == nil {
		return fmt.Errorf("images of rows: internal error: nothing seals them")
	}
	if err := s.srv.sealing.By.Ready(s.srv.now()); err != nil {
		return s.refuseUnsealed(err, "what the statement changes")
	}
	return nil
}

// picture takes a column that is an image.
func (n *naming) picture(step *rewrite.Naming, column int, value []byte, none bool) {
	if none {
		return
	}
	if n.pictures.columns == nil {
		n.pictures.columns = make([][]byte, step.Pictured())
	}
	n.pictures.columns[column] = value
}

// pictured keeps the images of the row that was read.
func (n *naming) pictured(step *rewrite.Naming) error {
	columns := n.pictures.columns
	n.pictures.columns = nil
	for i := range step.Images {
		of := &step.Images[i]
		if columns == nil || !of.Before && !of.After {
			continue
		}
		var c audit.Change
		var err, also error
		if of.Before {
			c.Before, c.Doubt, err = imageIn(columns[0])
			columns = columns[1:]
		}
		if of.After {
			c.After, _, also = imageIn(columns[0])
			columns = columns[1:]
		}
		if err != nil || also != nil {
			return newFatal("08P01", "the server sent what is not the image of a row")
		}
		if a := n.album(of); !a.images.Add(of.Key, c) {
			n.pictures.albums = append(n.pictures.albums, album{of: of, why: of.Why})
			n.album(of).images.Add(of.Key, c)
		}
	}
	return nil
}

// album gives the one that the next image goes into.
func (n *naming) album(of *rewrite.Imaging) *album {
	all := n.pictures.albums
	if len(all) == 0 || all[len(all)-1].of != of {
		all = append(all, album{of: of, why: of.Why})
		n.pictures.albums = all
	}
	return &all[len(all)-1]
}

// imageIn reads an image as rewrite has the server write it. It is nil where
// there is no row; doubt says that it may not be the one that was overwritten.
func imageIn(column []byte) (r *audit.Row, doubt bool, err error) {
	if column == nil {
		return nil, false, nil
	}
	column, doubt = bytes.CutPrefix(column, []byte("?"))
	r = &audit.Row{}
	sum, long := bytes.CutPrefix(column, []byte(":"))
	if long {
		r.Sum, err = hex.DecodeString(string(sum))
		return r, doubt, err
	}
	r.JSON = make([]byte, base64.StdEncoding.DecodedLen(len(column)))
	size, err := base64.StdEncoding.Decode(r.JSON, column)
	r.JSON = r.JSON[:size]
	return r, doubt, err
}

// unpictured notes, at the end of a statement or of what a portal was asked for,
// what was changed without images. tag is the command tag, or the one before
// where the portal is not at its end.
func (n *naming) unpictured(typ byte, tag string) {
	step := n.now()
	for i := range step.Images {
		of := &step.Images[i]
		missing, why := tagRows(tag), of.Why
		switch {
		case typ == 's':
			missing, why = audit.AnyNumber, "the client did not ask for all rows at once"
		case of.Before || of.After:
			if missing = max(0, missing-n.rows); missing > 0 {
				why = "the server did not send all rows"
			}
		case of.Part && tag != "PREPARE", tag == "EXPLAIN":
			missing = audit.AnyNumber
		}
		if missing != 0 {
			a := n.album(of)
			a.missing, a.why = missing, why
		}
	}
}

// recordImages writes the images that a record is full of, or at the end all.
// What cannot be sealed by then is counted: its statement has run.
func (s *session) recordImages(f *flight, all bool) error {
	n := f.naming
	if n == nil || !f.logged {
		return nil
	}
	for len(n.pictures.albums) > 1 || all && len(n.pictures.albums) > 0 {
		a := &n.pictures.albums[0]
		r := audit.Record{
			Kind: audit.KindImages, Ref: f.seq, Session: s.id, Login: s.login,
			Command: strings.ToUpper(a.of.Op), Relation: a.of.Relation, Missing: a.missing, Message: a.why,
		}
		if a.images.Len() > 0 {
			if err := s.srv.sealing.By.SealImages(s.srv.now(), &r, &a.images); err != nil {
				s.log.Error("images of changed rows are missing in the access log", "rows", a.images.Len(), "err", err)
				r.Missing, r.Message = max(r.Missing, 0)+int64(a.images.Len()), "they could not be sealed"
			}
		}
		if r.Missing != 0 {
			s.srv.metrics.unpictured.Inc()
		}
		if _, err := s.srv.audit.Append(&r); err != nil {
			return newFatal("58030", "the access log cannot be written: %w", err)
		}
		n.pictures.albums = n.pictures.albums[1:]
	}
	return nil
}
