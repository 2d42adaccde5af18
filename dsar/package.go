package dsar

import (
	"archive/zip"
	"compress/flate"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// PackageFormat names the form of a package. Fields may be added to it; none
// changes its meaning.
const PackageFormat = "pgveil.package/1"

// PackageOptions says how a package is made.
type PackageOptions struct {
	PreparedBy string // who asked for it
	Request    int64  // the number of the subject's request; 0: none
	Portable   bool   // only what the subject provided, under consent or a contract, and only for machines (GDPR, Article 20)
	Controller Controller

	// Seen tells who saw the subject's rows, by the key's text. Without it that
	// is read from the access log in the database, where it is there.
	Seen func(ctx context.Context, kind, key string) (Seen, error)

	// Progress, when not nil, is told now and then how far it has come.
	Progress func(Progress)
}

// Progress is how far the making of a package has come.
type Progress struct {
	File  string // that is being written
	At    int    // its number, from 1
	Of    int    // how many there will be
	Bytes int64  // written in all, before they are compressed
}

// Manifest lists what is in a package.
type Manifest struct {
	Format      string           `json:"format"`
	Subject     string           `json:"subject"`
	Key         json.RawMessage  `json:"key"`
	GeneratedAt time.Time        `json:"generated_at"`
	PreparedBy  string           `json:"prepared_by,omitempty"`
	Controller  string           `json:"controller,omitempty"`
	Request     int64            `json:"request,omitempty"`
	Policy      string           `json:"policy"` // its generation
	Portable    bool             `json:"portable,omitempty"`
	LookThrough []string         `json:"look_through,omitempty"` // tables with rows that name others as well
	Counts      map[string]int64 `json:"counts"`                 // rows of each table
	Unreadable  map[string]int64 `json:"unreadable,omitempty"`   // by column: sealed values that cannot be opened
	Files       []File           `json:"files"`

	Digest string `json:"-"` // SHA-256 of manifest.json, which it cannot hold itself
}

// File is one of a package, other than the manifest.
type File struct {
	Name     string `json:"name"`
	Table    string `json:"table,omitempty"` // whose rows it holds
	Rows     *int64 `json:"rows,omitempty"`
	Formulas int64  `json:"formulas,omitempty"` // values that a spreadsheet may take for formulas
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
}

const (
	dataName     = "data.json"
	schemaName   = "schema.json"
	aboutName    = "about.json"
	indexName    = "index.html"
	manifestName = "manifest.json"
)

// Package writes everything that is held on one subject into a zip, while the
// rows arrive, all of one moment: as JSON, as one CSV for each table, and as a
// page to be read, with what a subject must be told beside. Memory does not
// grow with the number of rows. After an error w holds no package. Once ctx has
// ended, conn is of no use any more.
func Package(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key, o PackageOptions, w io.Writer) (Manifest, error) {
	p := &packer{graph: g, options: o, names: map[string]int{}}
	err := inSnapshot(ctx, conn, func(tx pgx.Tx) error {
		s, err := g.find(ctx, tx, key)
		if err != nil {
			return err
		}
		if err := p.begin(s, w); err != nil {
			return err
		}
		if err := p.pack(ctx, tx); err != nil {
			return err
		}
		return p.zip.Close()
	})
	if err != nil {
		return Manifest{}, fmt.Errorf("packing the data of a %s: %w", g.Subject.Name, err)
	}
	return p.manifest, nil
}

// packer writes one package.
type packer struct {
	graph    *Graph
	options  PackageOptions
	subject  subject
	shown    []shown
	zip      *zip.Writer
	names    map[string]int // of files of tables, in small letters: how many there are
	bytes    int64          // of the files that are done
	previews []preview
	manifest Manifest
}

func (p *packer) begin(s subject, w io.Writer) (err error) {
	g, o := p.graph, p.options
	p.subject = s
	if p.shown, err = g.shown(o.Portable); err != nil {
		return err
	}
	p.zip = zip.NewWriter(w)
	p.zip.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	p.manifest = Manifest{
		Format: PackageFormat, Subject: g.Subject.Name, Key: json.RawMessage(s.key), GeneratedAt: s.now.UTC(), PreparedBy: o.PreparedBy,
		Controller: o.Controller.Name, Request: o.Request, Policy: g.Generation, Portable: o.Portable, Counts: map[string]int64{},
	}
	for _, t := range p.shown {
		if len(t.counterparts) > 0 {
			p.manifest.LookThrough = append(p.manifest.LookThrough, t.Relation.QualifiedName())
		}
	}
	return nil
}

func (p *packer) pack(ctx context.Context, tx pgx.Tx) error {
	about, err := p.about(ctx, tx)
	if err != nil {
		return err
	}
	if err := p.data(ctx, tx); err != nil {
		return err
	}
	for _, t := range p.shown {
		if err := p.table(ctx, tx, t); err != nil {
			return err
		}
	}
	if err := p.json(schemaName, p.schema()); err != nil {
		return err
	}
	if !p.options.Portable {
		if err := p.json(aboutName, about); err != nil {
			return err
		}
		if err := p.page(about); err != nil {
			return err
		}
	}
	files := p.manifest.Files
	if err := p.json(manifestName, p.manifest); err != nil {
		return err
	}
	p.manifest.Digest = p.manifest.Files[len(files)].SHA256
	p.manifest.Files = files
	return nil
}

// data writes the rows as PRIVACY EXPORT does.
func (p *packer) data(ctx context.Context, tx pgx.Tx) error {
	return p.file(File{Name: dataName}, func(w io.Writer, f *File) error {
		d := newDocument(func(chunk []byte) error {
			_, err := w.Write(append(chunk, '\n'))
			return err
		})
		o := ExportOptions{PreparedBy: p.options.PreparedBy, Portable: p.options.Portable}
		rows, err := p.graph.write(ctx, tx, p.subject, o, d)
		if err != nil {
			return err
		}
		f.Rows = &rows
		if len(d.missing) > 0 {
			p.manifest.Unreadable = d.missing
		}
		for i, c := range d.counts {
			p.manifest.Counts[p.shown[i].Relation.QualifiedName()] = c.rows
		}
		return nil
	})
}

// json writes a value as a file.
func (p *packer) json(name string, v any) error {
	return p.file(File{Name: name}, func(w io.Writer, _ *File) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}
