# ActiveRecord, which reads a table's columns before it uses it.
require 'active_record'

LOGIN = ARGV[0]
schema = LOGIN == 'crm_app' ? 'crm' : 'public'
ActiveRecord::Base.establish_connection(
  adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: LOGIN, password: ENV['PGPASSWORD'], database: ENV['PGDATABASE'],
  sslmode: ENV['PGSSLMODE'], sslrootcert: ENV['PGSSLROOTCERT'], schema_search_path: schema,
  variables: LOGIN == 'crm_app' ? {'pgveil.purpose' => 'support'} : {}
)

class Customer < ActiveRecord::Base
  self.ignored_columns = %w[ssn] # which nobody may see
  has_many :orders
  has_many :tickets
end

class Order < ActiveRecord::Base
  belongs_to :customer
end

class Ticket < ActiveRecord::Base
  belongs_to :customer
end

def attempt
  puts yield.inspect
rescue ActiveRecord::ActiveRecordError => e
  puts "error #{e.cause&.result&.error_field(PG::Result::PG_DIAG_SQLSTATE)} #{e.message.lines.first.chomp} #{e.class}"
end

def show(record) = puts(record.attributes.inspect)

def inspected
  puts '# inspected'
  c = ActiveRecord::Base.connection
  c.tables.sort.each do |t|
    puts "#{t} #{c.primary_keys(t)} #{c.foreign_keys(t).map { |k| [k.from_table, k.to_table, k.column] }} #{c.indexes(t).map(&:name)}"
    c.columns(t).each { |col| puts "  #{col.name} #{col.sql_type} #{col.null} #{col.default.inspect} #{col.default_function.inspect}" }
  end
end

def restricted
  inspected
  puts '# loaded'
  Customer.order(:id).each { |c| show(c) }
  puts Customer.where(card: '4111111110201111').pluck(:id, :card).inspect
  puts Customer.includes(:orders).order(:id).limit(2).map { |c| [c.email, c.orders.map(&:status).sort] }.inspect
  puts Order.joins(:customer).group('customers.last_name').order('customers.last_name').sum(:total).inspect
  puts Customer.in_batches(of: 2).map(&:count).inspect
  puts '# changed and saved'
  c = Customer.find(1)
  c.update!(country: 'IT')
  (c.attribute_names - ['id']).each { |a| c.send(:attribute_will_change!, a) } # save all of it
  attempt { c.save! }
  show(Customer.find(1))
  attempt { Customer.lock.find(1).with_lock { |_| 'locked' } }
  attempt { c.tickets.create!(region: 'EU', subject: 'by ActiveRecord', body: 'mail a@example.org', opened_at: Time.utc(2026, 11, 22)).reload.body }
  attempt { Ticket.insert_all([{customer_id: 1, region: 'EU', subject: 'bulk', body: 'x', opened_at: Time.utc(2026, 11, 22)}]).length }
  puts '# refused'
  attempt { Customer.find(4).destroy }
  attempt { Customer.select(:ssn).first }
  attempt { Customer.transaction { Customer.find(1).touch(:created_at); Customer.pluck(Arel.sql('ssn')) } }
  attempt { ActiveRecord::Base.connection.create_table(:made) }
  attempt { Customer.count }
end

def dora
  inspected
  Customer.order(:id).each { |c| show(c) }
  c = Customer.find(1)
  c.update!(email: 'new@example.org')
  show(c.reload)
  attempt { Order.create!(customer_id: 99, placed_at: Time.now, status: 'new', total: 1) }
  ActiveRecord::Base.connection.create_table(:mades) { |t| t.string :name, index: {unique: true}; t.jsonb :data; t.timestamps }
  made = Class.new(ActiveRecord::Base) { self.table_name = 'mades' }
  made.insert_all((1..100).map { |i| {name: "row #{i}", data: {n: i}, created_at: Time.now, updated_at: Time.now} })
  made.upsert({name: 'row 1', data: {n: 0}, created_at: Time.now, updated_at: Time.now}, unique_by: :name)
  puts made.where(name: 'row 1').pick(:data).inspect, made.count
  ActiveRecord::Base.connection.add_column(:mades, :kind, :integer, default: 1)
  made.reset_column_information
  puts made.first.kind
  ActiveRecord::Base.connection.drop_table(:mades)
  puts Order.where(id: 1).explain.lines.first
end

LOGIN == 'dora' ? dora : restricted
