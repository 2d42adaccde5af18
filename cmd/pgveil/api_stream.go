package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/state"
)

// Answers of any length are written as they are made, for as long as the client
// goes on reading.
const (
	maxStreams = 4           // at once: each holds a connection to the server
	writeTime  = time.Minute // for a piece of an answer, in place of one for the whole
)

// stream writes an answer that is not one JSON object. n counts what the access
// log has as rows.
type stream struct {
	cmd   func(r *http.Request) (privacy.Command, error)
	write func(a *api, ctx context.Context, cmd privacy.Command, by proxy.Officer, out *slowly) (n int64, err error)
}

var streams = map[string]stream{
	"GET /v1/subjects/{kind}/{key}/export": {
		func(r *http.Request) (privacy.Command, error) {
			return privacy.Command{Verb: privacy.VerbExport, Subject: r.PathValue("kind"), Key: privacy.Key{Values: []string{r.PathValue("key")}}}, nil
		},
		(*api).export,
	},
	"GET /v1/requests/{id}/certificate": {byNumber(privacy.VerbShowCertificate), (*api).certificate},
	"GET /v1/requests/{id}/package":     {byNumber(privacy.VerbShowRequest), (*api).sendPackage},
}

func byNumber(verb privacy.Verb) func(*http.Request) (privacy.Command, error) {
	return func(r *http.Request) (privacy.Command, error) {
		cmd := privacy.Command{Verb: verb, ID: r.PathValue("id")}
		if !isNumber(cmd.ID) {
			return privacy.Command{Verb: verb}, privacy.Fail(privacy.NotFound, "GET /v1/requests lists those that you may serve", "there is no such request")
		}
		return cmd, nil
	}
}

// slowly writes to a client that may take any time, but not for one piece. Its
// headers are sent with the first piece: until then the answer may be an error.
type slowly struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	begun bool
}

func (s *slowly) Write(p []byte) (int, error) {
	if err := s.c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	s.begun = true
	return s.w.Write(p)
}

// serveStream answers one request piece by piece: nothing is told without a
// durable record of it.
func (a *api) serveStream(w http.ResponseWriter, r *http.Request, st stream) {
	by, ok := a.admit(w, r)
	if !ok {
		return
	}
	cmd, err := st.cmd(r)
	if err == nil {
		err = a.mayAsk(by, cmd)
	}
	record := a.record(r, by, cmd)
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	case <-r.Context().Done():
		return
	}
	out := &slowly{w: w, c: http.NewResponseController(w)}
	if err == nil {
		record.Message = "begun"
		err = a.witness(r.Context(), record)
	}
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
		record.Rows, err = st.write(a, r.Context(), cmd, by, out)
	}
	said := a.close(&record, err)
	// It is written down whether or not the client is still there.
	if logged := a.witness(context.WithoutCancel(r.Context()), record); logged != nil {
		err = errors.Join(err, logged)
		said = nil
	}
	switch {
	case err == nil:
	case out.begun:
		if said == nil && r.Context().Err() == nil {
			a.log.Error("api: an answer was cut off", "err", err)
		}
		panic(http.ErrAbortHandler) // what was sent must not be taken for all of it
	case said != nil:
		refuseHTTP(w, statusOf(said.Code), said)
	default:
		a.failed(w, err)
	}
}

// export sends everything that is held on a subject.
func (a *api) export(ctx context.Context, cmd privacy.Command, by proxy.Officer, out *slowly) (n int64, err error) {
	out.w.Header().Set("Content-Type", "application/json")
	_, err = a.service.Run(ctx, cmd, asker(by), func(row []string) error {
		n++
		_, err := io.WriteString(out, row[0]+"\n")
		return err
	})
	return n, err
}

// certificate sends the certificate of a request, byte by byte as it was signed.
func (a *api) certificate(ctx context.Context, cmd privacy.Command, by proxy.Officer, out *slowly) (int64, error) {
	var text string
	_, err := a.service.Run(ctx, cmd, asker(by), func(row []string) error {
		text = row[0]
		return nil
	})
	if err != nil {
		return 0, err
	}
	out.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if json.Valid([]byte(text)) {
		out.w.Header().Set("Content-Type", "application/json")
	}
	_, err = io.WriteString(out, text)
	return 1, err
}

// sendPackage sends the answer to a request for access, as it lies in the folder
// of packages.
func (a *api) sendPackage(ctx context.Context, cmd privacy.Command, by proxy.Officer, out *slowly) (n int64, err error) {
	v, err := a.service.Look(ctx, numberOf(cmd, nil), asker(by))
	if err != nil {
		return 0, err
	}
	if v.What != policy.AccessRequest.String() && v.What != policy.Portability.String() {
		return 0, privacy.Fail(privacy.NotFound, "", "there are packages of requests for access and portability only")
	}
	if v.State != state.RequestCompleted {
		return 0, privacy.Fail(privacy.SchemaChanged, "GET /v1/requests/{id} says how it stands", "the request is not completed: it is %s", v.State)
	}
	f, err := a.service.OpenPackage(v.Number)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return a.sendFile(f, out)
}

func (a *api) sendFile(f *os.File, out *slowly) (n int64, err error) {
	name := filepath.Base(f.Name())
	out.w.Header().Set("Content-Type", "application/octet-stream")
	if filepath.Ext(name) == ".zip" {
		out.w.Header().Set("Content-Type", "application/zip")
	}
	out.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	_, err = io.Copy(out, f)
	return 1, err
}

// close says in a record how a command ended, and gives the refusal if it was
// one.
func (a *api) close(record *audit.Record, err error) (said *privacy.Error) {
	record.Message = "done"
	if errors.As(err, &said) {
		record.Message, record.SQLState = said.Message, string(said.Code)
	} else if err != nil {
		record.Message = "failed"
	}
	return said
}
