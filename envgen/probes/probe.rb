# Ruby's net/http: ruby probe.rb net/http version, or ruby probe.rb net/http get URL...
require "net/http"
require "openssl"

_client, what, *urls = ARGV
puts RUBY_VERSION if what == "version"
urls.each do |url|
  uri = URI(url)
  Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", open_timeout: 5, read_timeout: 5) { |http| http.get(uri.path) }
rescue StandardError
  next # a refusal is an answer: what counts is where it came from
end
