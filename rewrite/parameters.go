package rewrite

import (
	"slices"

	"github.com/pgveil/pgveil/rewrite/resolve"
)

// Parameters tells what is known of the types of a text's parameters.
type Parameters = resolve.Parameters

// plainOIDs are the types of resolve.PlainType and their arrays by their fixed
// OIDs, from PostgreSQL's pg_type.dat.
var plainOIDs = []uint32{
	16, 17, 19, 20, 21, 23, 25, 114, 650, 829, 869, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1700, 2950, 3802,
	199, 651, 1000, 1001, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1040, 1041, 1115, 1182, 1183, 1185, 1187, 1231, 2951, 3807,
}

// unknownOID is the type of a parameter of which the client says nothing.
const unknownOID = 705

// DeclaredParameters tells what the types that a Parse message names mean.
func DeclaredParameters(oids []uint32) Parameters {
	known := resolve.ParametersInferred
	for _, oid := range oids {
		switch {
		case oid == 0 || oid == unknownOID:
		case slices.Contains(plainOIDs, oid):
			known = resolve.ParametersPlain
		default:
			return resolve.ParametersOdd
		}
	}
	return known
}
