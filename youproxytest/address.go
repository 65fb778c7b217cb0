package youproxytest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/youproxy-go/youproxy"
)

// IPAddress is a proxy of the account.
type IPAddress struct {
	ID             youproxy.IPAddressID
	OrderID        youproxy.OrderID
	OrderNumber    youproxy.OrderNumber
	ProxyType      youproxy.ProxyType
	Country        string
	Host           string            // for IPv6 the gateway; without WithProxies the proxies of an order share it
	HTTPPort       int               // 0 if the proxy speaks only SOCKS
	SOCKS5Port     int               // 0 where the proxy speaks only HTTP
	Protocol       youproxy.Protocol // of IPv6
	Login          string            // empty where the proxy is authorised by IP
	Password       string
	AuthIP         netip.Addr // where the proxy is authorised by IP
	MobileOperator string     // of MOBILE
	RotationTime   int        // of MOBILE, in seconds; 0 for changes by the reboot link alone
	Start          time.Time
	End            time.Time // from then on the proxy is gone
	ReadyAt        time.Time // from then on the list shows it
	AutoExtend     bool
	AutoExtendDays int // length of each automatic extension; 0 if it was never set
}

// IPAddresses returns all proxies of the account, in the order in which they were
// ordered, including those that are not in the list yet and those that have ended.
func (s *Server) IPAddresses() []IPAddress {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []IPAddress
	for _, o := range s.look().orders {
		list = append(list, o.ips...)
	}
	return list
}

// WithProvisioningDelay sets how long after an order its proxies appear in the list,
// by the clock of the server: 0 by default. Their rent period begins with the order,
// whatever the delay.
func WithProvisioningDelay(d time.Duration) Option {
	return func(s *Server) { s.account.provisioningDelay = d }
}

const (
	day         = 24 * time.Hour
	httpPort    = 59100
	socks5Port  = 59101
	gatewayPort = 10001 // the first one
	gatewaySize = 50_000
)

// provision creates the proxies of the nth order. An error says why they cannot work.
func (a *account) provision(o *placedOrder, n int) (err error) {
	ids, hosts := a.ids, a.hosts
	o.ips = make([]IPAddress, o.Quantity)
	for i := range o.ips {
		ip := &o.ips[i]
		*ip = IPAddress{
			ID:             a.nextIPAddressID(),
			OrderID:        o.ID,
			OrderNumber:    o.Number,
			ProxyType:      o.ProxyType,
			Country:        o.Country,
			AuthIP:         o.AuthIP,
			MobileOperator: o.MobileOperator,
			RotationTime:   o.RotationTime,
			Start:          o.CreatedAt,
			End:            o.CreatedAt.Add(time.Duration(o.RentPeriodDays) * day),
			ReadyAt:        o.CreatedAt.Add(a.provisioningDelay),
		}
		if o.AuthType == youproxy.AuthTypeLogin {
			ip.Login, ip.Password = credentials(n)
		}
		if o.ProxyType == youproxy.ProxyTypeIPv6 {
			a.connectIPv6(ip, o.Protocol, i)
		} else {
			ip.Host, ip.HTTPPort, ip.SOCKS5Port = a.nextHost(), httpPort, socks5Port
		}
	}
	if a.proxies != nil {
		if o.proxies, err = a.proxies.start(o.ips); err != nil {
			a.ids, a.hosts = ids, hosts
			return err
		}
	}
	for i := range o.ips {
		a.ips[o.ips[i].ID] = &o.ips[i]
	}
	return nil
}

// connectIPv6 sets the address of the nth proxy of an IPv6 order, a port of the order's
// gateway.
func (a *account) connectIPv6(ip *IPAddress, protocol youproxy.Protocol, n int) {
	if n%gatewaySize == 0 || a.proxies != nil {
		a.nextHost()
	}
	ip.Host = a.host(a.hosts - 1)
	ip.Protocol = protocol
	port := gatewayPort + n%gatewaySize
	if protocol == youproxy.ProtocolSOCKS {
		ip.SOCKS5Port = port
	} else {
		ip.HTTPPort = port
	}
}

// nextHost returns the next address.
func (a *account) nextHost() string {
	a.hosts++
	return a.host(a.hosts - 1)
}

// host returns the nth address.
func (a *account) host(n int) string {
	if a.proxies != nil {
		return loopback(n)
	}
	return nowhere(n)
}

// nowhere returns the nth address that is not reachable: those of 198.18.0.0/15, which is
// reserved for benchmarks, and then those of 240.0.0.0/4, which is reserved for the
// future.
func nowhere(n int) string {
	first := uint32(198<<24 | 18<<16)
	if n++; n >= 1<<17 {
		first = 240 << 24
	}
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], first+uint32(n))
	return netip.AddrFrom4(address).String()
}

// nextIPAddressID returns a new id of a proxy, which no float64 can hold.
func (a *account) nextIPAddressID() youproxy.IPAddressID {
	a.ids++
	return youproxy.IPAddressID(strconv.FormatInt(1111111111111111110+int64(a.ids), 10))
}

// credentials returns the login and the password of the nth order.
func credentials(n int) (login, password string) {
	return fmt.Sprintf("login%d", n), fmt.Sprintf("Pw%08x", uint32(n)*0x9e3779b1)
}

// port returns the only port of an IPv6 proxy, or the HTTP port of another.
func (ip *IPAddress) port() string { return strconv.Itoa(cmp.Or(ip.HTTPPort, ip.SOCKS5Port)) }

// authType returns how a proxy authorises its user.
func (ip *IPAddress) authType() youproxy.AuthType {
	if ip.AuthIP.IsValid() {
		return youproxy.AuthTypeIP
	}
	return youproxy.AuthTypeLogin
}

// authIP returns the address from which a proxy may be used, or "" where it asks for a
// login.
func (ip *IPAddress) authIP() string {
	if !ip.AuthIP.IsValid() {
		return ""
	}
	return ip.AuthIP.String()
}

// rotationTime returns the rotation time of a mobile proxy, and "" for others.
func (ip *IPAddress) rotationTime() string {
	if ip.ProxyType != youproxy.ProxyTypeMobile {
		return ""
	}
	return strconv.Itoa(ip.RotationTime)
}

// rebootLink returns the link that changes the address of a mobile proxy, and "" for
// others.
func (ip *IPAddress) rebootLink() string {
	if ip.ProxyType != youproxy.ProxyTypeMobile {
		return ""
	}
	return "https://reboot.youproxy.invalid/" + string(ip.ID)
}

// isListed reports whether the list shows a proxy at a time.
func (ip *IPAddress) isListed(at time.Time) bool {
	return !at.Before(ip.ReadyAt) && at.Before(ip.End)
}
