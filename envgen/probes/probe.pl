# Perl's LWP and HTTP::Tiny: perl probe.pl MODULE version, or perl probe.pl MODULE get URL...
use strict;
use warnings;

my ($module, $what, @urls) = @ARGV;
my %clients = (
	'LWP::UserAgent' => {
		tls => sub { eval { require LWP::Protocol::https } },
		ask => sub { LWP::UserAgent->new(env_proxy => 1, timeout => 5) },
	},
	'HTTP::Tiny' => {
		tls => sub { eval { require IO::Socket::SSL; require Net::SSLeay } },
		ask => sub { HTTP::Tiny->new(timeout => 5) },
	},
);
my $client = $clients{$module};
eval "require $module" or exit 1;
if ($what eq 'version') {
	print $module->VERSION, $client->{tls}->() ? '' : ' http', "\n";
	exit 0;
}
for my $url (@urls) {
	eval { $client->{ask}->()->get($url) };    # a refusal is an answer: what counts is where it came from
}
