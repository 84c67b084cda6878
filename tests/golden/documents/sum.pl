#!/usr/bin/perl
# Sums violations of the nightly runs.
use strict;
use warnings;

# Reads a report; returns a hash of counts by rule.
sub read_report {
    my ($file) = @_;
    my %count;
    open(my $in, '<', $file) or die "no $file\n";
    while (<$in>) { $count{$1} += $2 if /^(\S+)\s+(\d+)/; }
    return %count;
}

my %all = read_report($ARGV[0]);
print "$_ $all{$_}\n" for sort keys %all;
