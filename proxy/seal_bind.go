package proxy

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/seal"
)

// sealsParams tells whether parameters of a plan are sealed.
func sealsParams(p *rewrite.Plan) bool { return p != nil && p.Seals != nil && len(p.Seals.Params) > 0 }

// sealTypes gives the end of a Parse message for what is sent, from the client's: the
// server is told the types in which sealed values are stored.
func sealTypes(p *rewrite.Plan, types []byte) []byte {
	if !sealsParams(p) {
		return types
	}
	declared := oidsOf(types)
	out := binary.BigEndian.AppendUint16(nil, uint16(len(p.Seals.Params)))
	for _, prm := range p.Seals.Params {
		oid := uint32(0)
		switch {
		case prm.Null != "":
			oid, _ = seal.OID("text")
		case prm.For != nil:
			oid = sentType(&prm)
		case prm.Client <= len(declared):
			oid = declared[prm.Client-1]
		}
		out = binary.BigEndian.AppendUint32(out, oid)
	}
	return out
}

// sentType gives the type that the server gets a parameter's value in.
func sentType(prm *rewrite.Parameter) (oid uint32) {
	typ := prm.For.Stored
	if prm.Find {
		typ = "bytea"
	}
	if prm.Forms || prm.Array {
		return arrayOf(typ)
	}
	oid, _ = seal.OID(typ)
	return oid
}

// oidsOf reads the end of a Parse message.
func oidsOf(types []byte) (oids []uint32) {
	for rest := types[min(len(types), len(noParams)):]; len(rest) >= 4; rest = rest[4:] {
		oids = append(oids, binary.BigEndian.Uint32(rest))
	}
	return oids
}

// describesParams gives a ParameterDescription of the client's own parameters, from
// the server's of what was sent.
func describesParams(p *rewrite.Plan, declared, frame []byte) ([]byte, error) {
	b := wire.BodyOf(frame)
	server := make([]uint32, b.Int16()&0xffff)
	for i := range server {
		server[i] = uint32(b.Int32())
	}
	if b.Err() != nil || len(server) < len(p.Seals.Params) {
		return nil, newFatal("08P01", "the server described %d parameters, which are too few", len(server))
	}
	said := oidsOf(declared)
	var client []uint32
	for i, prm := range p.Seals.Params {
		for len(client) < prm.Client {
			client = append(client, 0)
		}
		oid := server[i]
		switch {
		case prm.For == nil && prm.Null == "":
		case prm.Client <= len(said) && said[prm.Client-1] != 0:
			oid = said[prm.Client-1]
		case client[prm.Client-1] != 0:
			continue
		case prm.Null != "":
			if of, _ := seal.OID(prm.Null); of != 0 {
				oid = of
			}
		case prm.Array:
			oid = arrayOf(prm.For.Values)
		default:
			oid, _ = seal.OID(prm.For.Values)
		}
		client[prm.Client-1] = oid
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len(client)))
	for _, oid := range client {
		body = binary.BigEndian.AppendUint32(body, oid)
	}
	return wire.AppendFrame(nil, 't', body), nil
}

// sealBind is sealBound for a message of which all must be there.
func (s *session) sealBind(st *named, rest []byte) ([]byte, error) {
	switch {
	case s.left == 0:
		return s.sealBound(st.plan, st.params, rest)
	case len(rest)+s.left <= maxHeld:
		return nil, errWhole
	default:
		return nil, &rewrite.Refusal{Code: "54000", Message: fmt.Sprintf("a Bind message of %d bytes is too long to be sealed", len(rest)+s.left)}
	}
}

// parameter is one value of a Bind message.
type parameter struct {
	value  []byte // nil: NULL
	format int16
}

// sealBound gives the end of a Bind message in which values are sealed, from the
// client's, which begins with the formats of its parameters.
func (s *session) sealBound(p *rewrite.Plan, declared, rest []byte) ([]byte, error) {
	given, results, err := parametersIn(rest)
	if err != nil {
		return nil, err
	}
	with, err := s.sealersOf()
	if err != nil {
		return nil, err
	}
	oids := oidsOf(declared)
	all := make([]parameter, len(p.Seals.Params))
	for i, prm := range p.Seals.Params {
		if prm.Client > len(given) {
			return nil, &rewrite.Refusal{Code: "08P01", Message: fmt.Sprintf("Bind gives %d parameters, and the statement has more", len(given))}
		}
		oid := uint32(0)
		if prm.Client <= len(oids) {
			oid = oids[prm.Client-1]
		}
		row, err := with.row(prm.Row, given, oids)
		if err != nil {
			return nil, err
		}
		if all[i], err = with.parameter(&prm, given[prm.Client-1], oid, row); err != nil {
			return nil, err
		}
	}
	return appendParameters(all, results), nil
}

// parametersIn reads the end of a Bind message. results is what follows.
func parametersIn(rest []byte) (all []parameter, results []byte, err error) {
	b := wire.PartOf(rest)
	formats := make([]int16, b.Int16()&0xffff)
	for i := range formats {
		formats[i] = int16(b.Int16())
	}
	for i := range b.Int16() & 0xffff {
		p := parameter{}
		switch {
		case len(formats) == 1:
			p.format = formats[0]
		case i < len(formats):
			p.format = formats[i]
		}
		if size := b.Int32(); size >= 0 {
			p.value = b.Bytes(size)
			if p.value == nil {
				p.value = []byte{}
			}
		}
		all = append(all, p)
		if b.Err() != nil {
			break
		}
	}
	if b.Err() != nil {
		return nil, nil, newFatal("08P01", "malformed Bind message")
	}
	return all, b.Rest(), nil
}

func appendParameters(all []parameter, results []byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(all)))
	for _, p := range all {
		out = binary.BigEndian.AppendUint16(out, uint16(p.format))
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(all)))
	for _, p := range all {
		if p.value == nil {
			out = append(out, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p.value))), p.value...)
	}
	return append(out, results...)
}

// parameter gives a parameter of the text that is sent. oid is the type that the
// client declared for its own; 0 for none. row is the key of the row that the value is
// bound to; nil for none.
func (a *sealers) parameter(prm *rewrite.Parameter, given parameter, oid uint32, row []byte) (parameter, error) {
	switch {
	case prm.Null != "" && given.value != nil:
		return parameter{[]byte("not null"), 0}, nil
	case prm.For == nil || given.value == nil:
		return given, nil
	case prm.Array:
		return a.array(prm, given, oid)
	}
	text, err := textOf(prm.For, given, oid)
	if err != nil {
		return parameter{}, err
	}
	if prm.Forms {
		return a.arrayOf(prm, [][]byte{text})
	}
	stored, err := a.stored(nil, prm.For, text, prm.Find, row)
	if err != nil {
		return parameter{}, err
	}
	if prm.Find || prm.For.Stored == "bytea" {
		return parameter{stored, 1}, nil
	}
	return parameter{stored, 0}, nil
}

// textOf gives the text of a value that a client bound.
func textOf(c *policy.Sealed, given parameter, oid uint32) ([]byte, error) {
	typ := declaredType(oid, c.Values)
	text, err := given.value, error(nil)
	switch {
	case typ == "":
		return nil, refuseOtherType(c)
	case given.format == 0:
	case typ == "float8":
		return nil, refuseOtherType(c)
	case typ == "bpchar": // lies as it is
	default:
		text, err = seal.FromBinary(typ, given.value)
	}
	if err == nil && typ == "bytea" && given.format != 0 {
		text, err = wireOf(new([]byte), typ, text, 0)
	}
	if err == nil && typ != c.Values {
		text, err = asAnother(typ, c.Values, text)
	}
	if err != nil {
		return nil, &rewrite.Refusal{Code: "22P03", Message: fmt.Sprintf("the value for %s cannot be sealed: %v", c.Column, err), Hint: "bind it as text, or with the type " + c.Values}
	}
	return text, nil
}

func refuseOtherType(c *policy.Sealed) error {
	return &rewrite.Refusal{Code: "0A000", Message: fmt.Sprintf("a parameter for %s, which is sealed, is of another type than %s", c.Column, c.Values), Hint: "bind it as text, or with the type " + c.Values}
}

// arrayOf gives the type of arrays of a type.
func arrayOf(typ string) uint32 {
	oid, _ := seal.OID(typ)
	for array, elem := range arrayTypes {
		if elem == oid {
			return array
		}
	}
	return 0
}

// arrayTypes are the OIDs of arrays of types that can be sealed and of their
// elements, from PostgreSQL's pg_type.dat.
var arrayTypes = map[uint32]uint32{
	1000: 16, 1001: 17, 1005: 21, 1007: 23, 1016: 20, 1009: 25, 1015: 1043, 199: 114, 3807: 3802,
	1182: 1082, 1231: 1700, 2951: 2950, 1115: 1114, 1185: 1184,
}

// array seals the values of an array, which are looked for.
func (a *sealers) array(prm *rewrite.Parameter, given parameter, oid uint32) (parameter, error) {
	var texts [][]byte
	bad := func(err error) error {
		return &rewrite.Refusal{Code: "22P02", Message: fmt.Sprintf("the array for %s cannot be read", prm.For.Column), Hint: "give an array of one dimension: " + err.Error()}
	}
	if given.format == 0 {
		var err error
		if texts, err = seal.Elements(given.value); err != nil {
			return parameter{}, bad(err)
		}
	} else {
		var err error
		ok := eachElement(given.value, func(typ uint32, part []byte) {
			text, e := textOf(prm.For, parameter{part, 1}, typ)
			if e != nil {
				err = e
			}
			texts = append(texts, slices.Clone(text))
		})
		if err != nil {
			return parameter{}, err
		}
		if ok && given.value[7]&1 != 0 {
			texts = append(texts, nil) // where it stood makes no difference
		}
		if !ok && len(given.value) != 12 { // an empty one has no dimension
			return parameter{}, bad(fmt.Errorf("it is not one"))
		}
	}
	return a.arrayOf(prm, texts)
}

// arrayOf gives an array of every form that values may have.
func (a *sealers) arrayOf(prm *rewrite.Parameter, texts [][]byte) (parameter, error) {
	var sealed []*string
	for _, t := range texts {
		if t == nil {
			sealed = append(sealed, nil)
			continue
		}
		forms, err := a.forms(prm.For, t, prm.Find)
		if err != nil {
			return parameter{}, err
		}
		for _, form := range forms {
			text := string(form)
			if prm.Find || prm.For.Stored == "bytea" {
				text = fmt.Sprintf(`\x%x`, form)
			}
			sealed = append(sealed, &text)
		}
	}
	out, err := seal.Array(sealed)
	if err != nil {
		return parameter{}, fmt.Errorf("an array of sealed values: %w", err)
	}
	return parameter{out, 0}, nil
}
