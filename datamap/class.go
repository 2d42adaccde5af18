package datamap

import "slices"

// Class is what a column holds. The zero Class is undecided.
type Class string

// The classes that a scan proposes.
const (
	Undecided Class = ""
	Open      Class = "open"

	Name        Class = "name"
	Username    Class = "username"
	Email       Class = "email"
	Phone       Class = "phone"
	Address     Class = "address"
	City        Class = "city"
	BirthDate   Class = "birth_date"
	BirthPlace  Class = "birth_place"
	Gender      Class = "gender"
	Marital     Class = "marital"
	Nationality Class = "nationality"
	NationalID  Class = "national_id"
	Document    Class = "document"
	Vehicle     Class = "vehicle"
	Card        Class = "card"
	Account     Class = "account"
	Income      Class = "income"
	IP          Class = "ip"
	Device      Class = "device"
	Location    Class = "location"
	Credential  Class = "credential"
	Photo       Class = "photo"
	Profile     Class = "profile"
	FreeText    Class = "free_text"
	Child       Class = "child"
	Criminal    Class = "criminal"
	Health      Class = "health"
	Religion    Class = "religion"
	Union       Class = "union"
	Orientation Class = "orientation"
	Ethnicity   Class = "ethnicity"
	Politics    Class = "politics"
	Biometric   Class = "biometric"
)

// kind describes a class.
type kind struct {
	class   Class
	special bool // a special category of Article 9 GDPR
	about   string
}

// kinds describes the classes, in the order in which a policy lists them.
var kinds = []kind{
	{Name, false, "Names of persons"},
	{Username, false, "Names under which persons log in or are known elsewhere"},
	{Email, false, "E-mail addresses"},
	{Phone, false, "Telephone numbers"},
	{Address, false, "Postal addresses and parts of them"},
	{City, false, "Where somebody lives or works, no nearer than the town"},
	{BirthDate, false, "Dates of birth, ages"},
	{BirthPlace, false, "Places of birth"},
	{Gender, false, "Gender, and forms of address that tell it"},
	{Marital, false, "Marital status and family"},
	{Nationality, false, "Nationality and mother tongue"},
	{NationalID, false, "Numbers by which a state knows a person"},
	{Document, false, "Numbers of identity documents and licences"},
	{Vehicle, false, "Number plates and vehicle identifiers"},
	{Card, false, "Numbers of payment cards"},
	{Account, false, "Bank accounts and other ways to pay"},
	{Income, false, "Income, credit, what somebody is worth"},
	{IP, false, "Network addresses"},
	{Device, false, "Identifiers of devices and browsers"},
	{Location, false, "Geographical positions"},
	{Credential, false, "Passwords, keys and tokens, hashed or not"},
	{Photo, false, "Pictures and signatures of persons"},
	{Profile, false, "Documents with personal data of several classes"},
	{FreeText, false, "What people write; anything may be in it"},
	{Child, false, "That a person is a child, and who is responsible for them"},
	{Criminal, false, "Criminal convictions and offences (Article 10 GDPR)"},
	{Health, true, "Data concerning health"},
	{Religion, true, "Religious or philosophical beliefs"},
	{Union, true, "Trade union membership"},
	{Orientation, true, "Sex life and sexual orientation"},
	{Ethnicity, true, "Racial or ethnic origin"},
	{Politics, true, "Political opinions"},
	{Biometric, true, "Biometric data"},
}

// Special tells whether a class is a special category of Article 9 GDPR.
func (c Class) Special() bool {
	return slices.ContainsFunc(kinds, func(k kind) bool { return k.class == c && k.special })
}

// known tells whether a class is one that a scan proposes.
func known(c Class) bool {
	return c == Open || slices.ContainsFunc(kinds, func(k kind) bool { return k.class == c })
}
