package recognise

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Kind is what was found. The zero Kind is nothing.
type Kind uint8

// The kinds. An identifier is called by its country and by what it is called
// there.
const (
	Email Kind = iota + 1
	Phone
	Card
	IBAN
	USSSN     // Social Security number
	GBNINO    // National Insurance number
	DEIdNr    // Steuer-Identifikationsnummer
	FRNIR     // numéro de sécurité sociale
	ESDNI     // DNI and NIE
	ITCF      // codice fiscale
	PLPESEL   // PESEL
	NLBSN     // burgerservicenummer
	BENN      // numéro national, rijksregisternummer
	SEPnr     // personnummer, samordningsnummer
	BRCPF     // CPF
	INAadhaar // Aadhaar
	AWSKey    // the identifier of an access key
	GitHubToken
	SlackToken
	StripeKey
	GoogleKey
	JWT
	PrivateKey  // PEM
	URLPassword // between a URL's user and its host
)

const lastKind = URLPassword

var kindNames = [...]string{
	"", "email", "phone", "card", "iban",
	"us_ssn", "gb_nino", "de_idnr", "fr_nir", "es_dni", "it_cf", "pl_pesel", "nl_bsn", "be_nn", "se_pnr", "br_cpf", "in_aadhaar",
	"aws_key", "github_token", "slack_token", "stripe_key", "google_key", "jwt", "private_key", "url_password",
}

func (k Kind) String() string {
	if k < Email || k > lastKind {
		return "nothing"
	}
	return kindNames[k]
}

// Set is a set of kinds. The zero Set is empty.
type Set uint32

// Some sets.
const (
	All         Set = 1<<(lastKind+1) - 1<<Email
	NationalIDs Set = 1<<(INAadhaar+1) - 1<<USSSN
	Secrets     Set = 1<<(URLPassword+1) - 1<<AWSKey
)

// groups are the words for several kinds.
var groups = []struct {
	name string
	set  Set
}{{"national_id", NationalIDs}, {"secret", Secrets}}

// Of gives the set of some kinds.
func Of(kinds ...Kind) (s Set) {
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// Has tells whether a kind is in the set.
func (s Set) Has(k Kind) bool { return s>>k&1 == 1 }

// Kinds gives the kinds in the set, in their order.
func (s Set) Kinds() (kinds []Kind) {
	for ; s != 0; s &= s - 1 {
		kinds = append(kinds, Kind(bits.TrailingZeros32(uint32(s))))
	}
	return kinds
}

func (s Set) String() string {
	var words []string
	for _, g := range groups {
		if s&g.set == g.set {
			words = append(words, g.name)
			s &^= g.set
		}
	}
	var names []string
	for _, k := range s.Kinds() {
		names = append(names, k.String())
	}
	return strings.Join(append(names, words...), ", ")
}

// Words are those that Parse knows.
func Words() []string {
	words := slices.Clone(kindNames[1:])
	for _, g := range groups {
		words = append(words, g.name)
	}
	return words
}

// Parse gives what a word stands for: a kind by its name, national_id or secret.
func Parse(word string) (Set, error) {
	for _, g := range groups {
		if g.name == word {
			return g.set, nil
		}
	}
	if i := slices.Index(kindNames[:], word); i > 0 {
		return 1 << i, nil
	}
	return 0, fmt.Errorf("unknown kind %q: email, phone, card, iban, national_id, secret, or one of these by its name", word)
}
