package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestBuySendsWhatTheFlagsSay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, want string }{
		"IPv4":   {"--country usa", `{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN"}`},
		"IPv6":   {"--type ipv6 --quantity 10 --protocol socks", `{"proxyType":"IPv6","quantity":10,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","protocol":"SOCKS"}`},
		"HTTP":   {"--type IPv6", `{"proxyType":"IPv6","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","protocol":"HTTP"}`},
		"mobile": {"--type mobile --operator tmobile --rotation 600", `{"proxyType":"MOBILE","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","rotationTime":600,"mobileOperator":"tmobile"}`},
		"link":   {"--type mobile --operator verizon --rotation link", `{"proxyType":"MOBILE","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","rotationTime":0,"mobileOperator":"verizon"}`},
		"ISP":    {"--type ISP --country NLD --days 60 --promo TENTH --auth-ip 192.0.2.7", `{"proxyType":"ISP","quantity":1,"rentPeriodDays":60,"country":"NLD","goal":"price monitoring","authType":"IP","authIp":"192.0.2.7","promoCode":"TENTH"}`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				code, _, stderr := s.run(append(buying("--yes", "--max-price", "100 USD"), strings.Fields(test.args)...)...)
				require.Equal(t, exitDone, code, stderr)
				for _, r := range s.Requests() {
					if r.Op == "POST /order" {
						assert.JSONEq(t, test.want, string(r.Body))
					}
				}
				assert.Equal(t, 1, s.sent("POST /order"))
			}, youproxytest.WithRotateByLink(), youproxytest.WithPromoCode("TENTH", 10))
		})
	}
}

func TestBuyWrongUsage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ args, want string }{
		"no limit":          {"buy --country USA --goal x --yes", "--max-price is missing"},
		"not money":         {"buy --max-price 10", "--max-price"},
		"nobody to ask":     {"buy --country USA --goal x --max-price 10USD", "is not money"},
		"in a pipe":         {"buy --country USA --goal x --max-price 10_USD", "add --yes"},
		"no goal":           {"buy --country USA --max-price 10_USD --yes", "--goal is missing: say what the proxies are for"},
		"all at once":       {"buy --quantity 0 --days 0", "--quantity must be 1 or more; --days must be 1 or more; --country is missing"},
		"unknown type":      {"buy --type IPv5", `--type must be IPv4, IPv6, MOBILE or ISP, not "IPv5"`},
		"operator of IPv4":  {"buy --operator verizon", "MOBILE only"},
		"rotation of ISP":   {"buy --type ISP --rotation 300", "MOBILE only"},
		"odd rotation":      {"buy --type MOBILE --operator verizon --rotation soon", "a number of seconds or link"},
		"no rotation":       {"buy --type MOBILE --operator verizon --country USA --goal x", "--rotation is missing"},
		"protocol of IPv4":  {"buy --protocol HTTP", "IPv6 only"},
		"not a protocol":    {"buy --type IPv6 --protocol FTP --country USA --goal x", "--protocol must be HTTP or SOCKS"},
		"not an address":    {"buy --auth-ip me", "--auth-ip must be an IP address"},
		"an argument":       {"buy USA", "unknown command"},
		"unknown flag":      {"buy --colour", "unknown flag"},
		"key too long":      {"buy --country USA --goal x --max-price 10_USD --yes --idempotency-key " + strings.Repeat("k", 256), "--idempotency-key must be 1 to 255 bytes"},
		"key empty":         {"buy --country USA --goal x --max-price 10_USD --yes --idempotency-key=", "--idempotency-key is empty"},
		"negative":          {"buy --max-price=-1_USD", "for \"--max-price\" flag: \"-1 USD\" is not money"},
		"quote without any": {"quote", "--country is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				args := strings.Fields(test.args)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "_", " ")
				}
				code, stdout, stderr := s.run(args...)
				assert.Equal(t, exitUsage, code)
				assert.Contains(t, stderr, test.want)
				assert.Empty(t, stdout)
				assert.Empty(t, s.Requests())
			})
		})
	}
}
