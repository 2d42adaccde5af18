package proxy

import (
	"context"
	"errors"
	"slices"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

func (s *session) bind(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	portal, name := b.String(), b.String()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Bind message")
	}
	rest, sealed := b.Rest(), false
	f := s.take(flightBind)
	st, err := s.current(ctx, name)
	if err != nil {
		return s.refuseBind(f, err)
	}
	if st != nil {
		made := &named{plan: st.plan, value: st.value, privacy: st.privacy, said: st.said, asked: st.asked, desc: st.desc, contents: s.boundTo(st.contents, b, s.left)}
		if made.privacy != nil && made.privacy.Parameter {
			return s.bindCommand(f, made, portal, name, b.Rest())
		}
		if rest, err = s.bindResults(made, b.Rest()); err != nil {
			return err
		}
		if sealed = sealsParams(st.plan); sealed {
			rest, err = s.sealBind(st, rest)
		}
		if err == nil {
			err = s.scanBound(made, b)
		}
		if err == nil {
			err = st.runsOnce()
		}
		if errors.Is(err, errWhole) || errors.Is(err, errWaits) {
			return err
		}
		if err != nil {
			return s.refuseBind(f, err)
		}
		f.name(&s.portals, string(portal), made)
	}
	if err := s.push(f); err != nil {
		return err
	}
	if st == nil || st.kept == "" && !sealed && len(rest) == len(b.Rest()) {
		s.toS.Pass(frame)
		return nil
	}
	if st.kept != "" {
		name = []byte(st.kept)
	}
	s.toS.Head('B', wire.HeadLen+len(portal)+1+len(name)+1+len(rest)+s.left)
	for _, text := range [][]byte{portal, name} {
		s.toS.Copy(text)
		s.toS.Copy([]byte{0})
	}
	s.toS.Pass(rest)
	return nil
}

// refuseBind refuses a Bind message, of which nothing is sent.
func (s *session) refuseBind(f *flight, err error) error {
	s.dropping = true
	return s.refuse(f, err, func(r *Refusal) {
		s.toS.Frame('B', []byte{0}, r.poisonName(), []byte{0, 0, 0, 0, 0, 0})
	})
}

// bindResults reads what the end of a Bind message says of the formats of
// results, and says it of columns as well that the client did not ask for.
func (s *session) bindResults(made *named, rest []byte) ([]byte, error) {
	if made.desc == nil {
		return rest, nil
	}
	step := s.hiding(made.plan)
	hidden := step.Hidden()
	if s.left > 0 && hidden > 0 && len(rest)+s.left <= maxHeld {
		return nil, errWhole
	}
	if made.odd = s.left > 0; made.odd {
		return rest, nil
	}
	formats, at, ok := resultFormats(rest)
	made.formats, made.odd = formats, !ok
	switch {
	case !ok || len(formats) < 2 || hidden == 0:
		return rest, nil // one format is for all columns, and none is text for all
	case step.Silent: // the server takes any number for no rows
		return append(slices.Clip(rest[:at]), 0, 0), nil
	}
	longer := append(slices.Clip(rest[:at]), byte((len(formats)+hidden)>>8), byte(len(formats)+hidden))
	longer = append(longer, rest[at+2:]...)
	return append(longer, make([]byte, 2*hidden)...), nil
}

// maxHeld is the length up to which the end of a Bind message is waited for.
const maxHeld = 64 << 20

// resultFormats reads the end of a Bind message. at is where the formats of
// results begin.
func resultFormats(rest []byte) (formats []int16, at int, ok bool) {
	b := wire.BodyOf(append(make([]byte, wire.HeadLen), rest...))
	count := func() int { return b.Int16() & 0xffff } // of values there may be more than 16 bits with a sign say
	b.Bytes(2 * count())
	for range count() {
		if n := b.Int32(); n > 0 {
			b.Bytes(n)
		}
	}
	at = len(rest) - len(b.Rest())
	for range count() {
		formats = append(formats, int16(b.Int16()))
		if b.Err() != nil {
			break
		}
	}
	return formats, at, b.Err() == nil && len(b.Rest()) == 0
}

// bindCommand takes the value of a command's parameter, which is for pgveil
// alone: the server gets NULL. rest is what follows the names in a Bind message.
func (s *session) bindCommand(f *flight, made *named, portal, name, rest []byte) error {
	value, results, ok := onlyParameter(rest)
	cmd, err := made.privacy.Bind(value)
	switch {
	case s.left > 0 || !ok:
		err = &rewrite.Refusal{Code: "08P01", Message: "this command takes one parameter, as text"}
	case err != nil:
		err = refuseRequest(err)
	}
	if err != nil {
		return s.refuseBind(f, err)
	}
	made.privacy = &cmd
	f.name(&s.portals, string(portal), made)
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Frame('B', portal, []byte{0}, name, []byte{0}, []byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff}, results)
	return nil
}

// onlyParameter reads the end of a Bind message that has one parameter, whose
// text is the same in either format. results is what it says of results.
func onlyParameter(rest []byte) (value string, results []byte, ok bool) {
	b := wire.BodyOf(append(make([]byte, wire.HeadLen), rest...))
	formats := b.Int16()
	b.Bytes(2 * max(formats, 0))
	if b.Int16() != 1 {
		return "", nil, false
	}
	value = string(b.Bytes(b.Int32()))
	return value, b.Rest(), b.Err() == nil
}
