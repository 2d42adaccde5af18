package demo

// place is where some of the customers live: what they are called there and
// how numbers are written.
type place struct {
	country, region string
	domain          string // of mail addresses
	phone           string // a format for one number below 10000
	iban            string // the national part, a format for one number below 1e8; "" where there is none
	ssn             string // a format for a year, month and day of birth and a number below 1000
	first, last     []string
	cities          []string
	street          string // a format for a house number
	postcode        string // a format for one number below 1000
}

// places lists them, the customers' most frequent countries first.
var places = []place{
	{
		country: "DE", region: "EU", domain: "example.de", phone: "+49 30 5550 %04d", iban: "50010517%010d",
		ssn: "65%02[3]d%02[2]d%02[1]dM%03[4]d", street: "Lindenallee %d", postcode: "20%03d",
		first:  []string{"Anna", "Jonas", "Lena", "Felix", "Greta", "Moritz", "Katharina", "Jürgen", "Sabine", "Emre", "Ayşe", "Björn"},
		last:   []string{"Schneider", "Weiß", "Hoffmann", "Krüger", "Yılmaz", "Vogel", "Schröder", "Neumann", "Köhler", "Peters", "Böhm", "Lang"},
		cities: []string{"Berlin", "Hamburg", "München", "Köln", "Leipzig"},
	},
	{
		country: "US", region: "US", domain: "example.com", phone: "+1 212 555 %04d",
		ssn: "9%02[1]d-%02[2]d-%04[4]d", street: "%d Maple Street", postcode: "10%03d",
		first:  []string{"Emily", "Michael", "Aaliyah", "James", "Olivia", "Carlos", "Grace", "Tyrone", "Hannah", "Minh", "Sarah", "Diego"},
		last:   []string{"Johnson", "Williams", "Nguyen", "Martinez", "O'Connor", "Washington", "Miller", "Chen", "Baker", "Lopez", "Cohen", "Smith"},
		cities: []string{"New York", "Austin", "Denver", "Seattle", "Portland"},
	},
	{
		country: "FR", region: "EU", domain: "example.fr", phone: "+33 1 9900 %04d", iban: "2004101005%08dM0206",
		ssn: "1%02[1]d%02[2]d75%03[4]d", street: "%d rue des Lilas", postcode: "75%03d",
		first:  []string{"Chloé", "Lucas", "Inès", "Hugo", "Léa", "Mathieu", "Amélie", "Youssef", "Françoise", "Antoine", "Zoé", "Rachid"},
		last:   []string{"Lefèvre", "Moreau", "Benali", "Girard", "Dupont", "Fournier", "Chevalier", "Besson", "Garnier", "Noël", "Perrin", "Roux"},
		cities: []string{"Paris", "Lyon", "Nantes", "Lille", "Marseille"},
	},
	{
		country: "ES", region: "EU", domain: "example.es", phone: "+34 91 555 %04d", iban: "210004184502%08d",
		ssn: "28-%02[1]d%02[2]d%02[3]d-%03[4]d", street: "Calle Mayor %d", postcode: "28%03d",
		first:  []string{"Lucía", "Mateo", "Sofía", "Íñigo", "Carmen", "Álvaro", "Núria", "Javier", "Begoña", "Pau", "Marta", "Andrés"},
		last:   []string{"García", "Núñez", "Fernández", "Ortega", "Ibáñez", "Puig", "Romero", "Castaño", "Molina", "Serrano", "Gil", "Peña"},
		cities: []string{"Madrid", "Sevilla", "Bilbao", "València", "Girona"},
	},
	{
		country: "PL", region: "EU", domain: "example.pl", phone: "+48 22 555 %04d", iban: "1090101400000712%08d",
		ssn: "%02[1]d%02[2]d%02[3]d1%03[4]d", street: "ul. Polna %d", postcode: "00-%03d",
		first:  []string{"Zofia", "Jakub", "Małgorzata", "Łukasz", "Agnieszka", "Paweł", "Julia", "Kacper", "Ewa", "Stanisław", "Iga", "Tomasz"},
		last:   []string{"Nowak", "Wiśniewski", "Zając", "Wójcik", "Kowalczyk", "Dąbrowska", "Król", "Jabłoński", "Mazur", "Gołąb", "Sikora", "Bąk"},
		cities: []string{"Warszawa", "Kraków", "Łódź", "Gdańsk", "Poznań"},
	},
	{
		country: "SE", region: "EU", domain: "example.se", phone: "+46 8 5550 %04d", iban: "500000000583%08d",
		ssn: "%02[1]d%02[2]d%02[3]d-%04[4]d", street: "Storgatan %d", postcode: "111 %03d",
		first:  []string{"Astrid", "Erik", "Maja", "Åke", "Linnéa", "Nils", "Ebba", "Göran", "Saga", "Mohamed", "Elsa", "Per"},
		last:   []string{"Lindqvist", "Åström", "Bergman", "Öberg", "Hansson", "Nyström", "Sjöberg", "Ali", "Ek", "Holmgren", "Lund", "Dahl"},
		cities: []string{"Stockholm", "Malmö", "Göteborg", "Uppsala"},
	},
	{
		country: "IE", region: "EU", domain: "example.ie", phone: "+353 20 911 %04d", iban: "AIBK931152%08d",
		ssn: "%02[1]d%02[2]d%03[4]dT", street: "%d Grafton Row", postcode: "D02 X%03d",
		first:  []string{"Niamh", "Cian", "Aoife", "Oisín", "Saoirse", "Padraig", "Gráinne", "Conor", "Róisín", "Declan", "Maeve", "Seán"},
		last:   []string{"O'Brien", "Murphy", "Ní Dhomhnaill", "Doyle", "Fitzgerald", "Byrne", "Walsh", "Keane", "Nolan", "O'Shea", "Burke", "Flynn"},
		cities: []string{"Dublin", "Cork", "Galway", "Limerick"},
	},
	{
		country: "JP", region: "APAC", domain: "example.jp", phone: "+81 3 5550 %04d",
		ssn: "%02[1]d%02[2]d %02[3]d%03[4]d", street: "Meguro 2-%d", postcode: "153-0%03d",
		first:  []string{"Yuki", "Haruto", "Sakura", "Ren", "Aoi", "Kenji", "Misaki", "Takumi", "Emi", "Sota", "Naoko", "Daichi"},
		last:   []string{"Satō", "Tanaka", "Suzuki", "Watanabe", "Itō", "Kobayashi", "Ōno", "Mori", "Hayashi", "Saitō", "Kondō", "Abe"},
		cities: []string{"Tokyo", "Osaka", "Sapporo", "Fukuoka"},
	},
	{
		country: "IN", region: "APAC", domain: "example.in", phone: "+91 22 5550 %04d",
		ssn: "90%02[1]d %02[2]d%02[3]d 0%03[4]d", street: "%d Hill Road", postcode: "400%03d",
		first:  []string{"Priya", "Arjun", "Ananya", "Rahul", "Fatima", "Vikram", "Lakshmi", "Imran", "Meera", "Rohan", "Divya", "Harpreet"},
		last:   []string{"Sharma", "Iyer", "Khan", "Reddy", "Banerjee", "Singh", "Patel", "Nair", "Gupta", "Fernandes", "Das", "Joshi"},
		cities: []string{"Mumbai", "Bengaluru", "Chennai", "Delhi"},
	},
	{
		country: "AU", region: "APAC", domain: "example.com.au", phone: "+61 2 5550 %04d",
		ssn: "9%02[1]d %02[2]d%[3]d %03[4]d", street: "%d Bay Street", postcode: "2%03d",
		first:  []string{"Isla", "Noah", "Matilda", "Jack", "Ruby", "Kiah", "Lachlan", "Wei", "Amelia", "Cooper", "Mia", "Jarrah"},
		last:   []string{"Clarke", "Campbell", "Nguyen", "Kelly", "Papadopoulos", "Wright", "Chang", "Murray", "Taylor", "Bennett", "Hughes", "Walker"},
		cities: []string{"Sydney", "Melbourne", "Brisbane", "Perth"},
	},
}
