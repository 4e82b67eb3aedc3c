/* Keys that signatures are tested with. None is anybody's: those that the RFCs print, and some that were made for this. */
#ifndef KEYSTILE_JOSE_KEYS_H
#define KEYSTILE_JOSE_KEYS_H

/* RFC 7515 A.2 */
#define KEY_RSA \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh+BYK4uPJtGXO\n" \
	"jS1lYmM2K5J9vinh8CR3/BYlzJChNuOL2TSXxbbqY913EeZ8dCn5VrD7io8ImtxL\n" \
	"aYk8wTM/U+3QGbh3hCUv7JFP5IV3aVlL6kKA0ywPVb9ilE8TA5a8bpvfbr3SvaNn\n" \
	"juygxmj3AbONv/s4yDQs4v5tJ/reSlpIdJed1LnPmt7Ex1sFhSwsD174pcF1A5L5\n" \
	"ROjtZMEQxrZHYJqkeDrrnGya11UxMFBji4NmXG9veoKjlnAqH2QbgtPr8jkiGUkf\n" \
	"toaHLFcW9Qr4NY2ai50Xw0Byj3+H2JoY2PyrZ62EWQwuz3WTOTY8BwNNb2BvniHg\n" \
	"VFbK5emhAgMBAAECggEAEq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyW\n" \
	"PEAeP88vLNO97IjlA7/GQ5sLKMgvfTeXZx9SE+7YwVol2NXOoAJe46sui395IW/G\n" \
	"O+pWJ1O0BkTGoVEn2bKVRUCgu+GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzj\n" \
	"kn439X0M/V51gfpRLI9JYanrC4D4qAdGcopV/0ZHHzQlBjudU2QvXt4ehNYTCBr6\n" \
	"XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl/x/jTj3ccPDVZFD9pIuhLhBOneufuBiB\n" \
	"4cS98l2SR/RQyGWSeWjnczT0QU91p1DhOVRuOopznQKBgQDgHMQQ60imZV1URk0K\n" \
	"pLttoLhyt3SmqdEf/kgHePDdtzEafpAu+cS191R2JiuoF2yzWXnwFDcqGigp5BNr\n" \
	"0AHQfD8/Lk8l1Mk09jxxCfui5nYooNyac8YFjm3vItzVCVDnEd3BbVWG8qf6deqE\n" \
	"lMGAg+C2V0L4oNXnP7LZcPAZRwKBgQC5A8R+CZW2MvRTLLHzwZkUXV866cff7tx6\n" \
	"kqa0finGG0KgeqlaZPxgCZnFp7AeAcCMtiynVlJ7vMVgePsLq6XtON4tB5kP9jAP\n" \
	"rq3rbAOal78eUH5OcED6eNuCV8ixEu1eWcPNCS/l1OW1EnXUEoEHKl54Xrrz2uNw\n" \
	"kgMTP1FZ1wKBgAcCn1dwJKufzBWQxWQp1vsM5fggqPN1qGb5y0MAk3g7/Ls5bkUp\n" \
	"5u9SN0Ai3Ya6hNnvWJMb7sXQX6U/zyO2M/hTip7tUeh7CXgwo59dkpN75gJLVds2\n" \
	"9+DAncu3KXU4f2Fa+7bLNrur53k8KwPOq2bbuTG69QtV7Jr5MR0AHWKNAoGBAIf/\n" \
	"evpitUf+4JYbLpvNXWcY052Mpz22aR84mY3nh3F2LF2mjMJDpTg7FmuyPcVw6EcG\n" \
	"yoAe9fa65iNqCq+jdw6PVNGo2hxfjSiZ8IIzHdsPXI89//pMjZcQK9r+CCoRjaZj\n" \
	"OYiIDktVWZzmevJuv6WywUqd57LE3Zar3dLSIkx1AoGAIYd7DHOhrWvxkwPQsRM2\n" \
	"tOgrjbcrfvtQJipd+DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd/QJQ3\n" \
	"ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp/gh6A56\n" \
	"03k2+ZQwVK0JKSHuLFkuQ3U=\n" \
	"-----END PRIVATE KEY-----\n"

/* In PKCS #1 */
#define KEY_RSA_PKCS1 \
	"-----BEGIN RSA PRIVATE KEY-----\n" \
	"MIIEpAIBAAKCAQEAsdnsemgtxbVcoZOfMdTKftQJeII9xHix84cWfu9v5Ck5X8Eq\n" \
	"Or93rWN0LBz6BYlZ0T8JIeyopAvyZiLxiPeIHoRiBCwqKW3UzEph2UCH+ds9n0Io\n" \
	"CvV+Z2/qE2y25Mjo/EvMT0trKSlwxFr9WvMpE8YS0J5j0PNrt1JrY84s/Z+OBq9b\n" \
	"vG9V+Zdt1hw2Uyo0/xUi/0dtcbsFkmLOiw0ASf41qj/BIL+7bQke5+0BOTdgCu2N\n" \
	"v55T98Ftnvmrcxi/dSxcjsemSFGb4GXAr2u6vHueFmRASGgmTEwaE3EtqEiQexBr\n" \
	"VXHUgr+xvZy09gVuViFdYPIX9MivObEsZxE8UQIDAQABAoIBABohd7JAbkE3NWX0\n" \
	"B5bNufbKdp3DHQop5ZNvTKnXyivOtsRP4EGDcjUCgMYed8mqdYzd4xyd5eU8cB/7\n" \
	"kFtcax54uuH8DzHJFlPxtdCyv4fBY5trn/CEQ081TUIPXgvdTQYMqPcZkKQal5vx\n" \
	"9nmPcoCaQJdwPiAsM65aqLagS1H0CWtk27tIG4QB5NBNtszR7ri8lvMgjMV5N1of\n" \
	"mH6FChrJMob+VKcsWmONozaAnlcErczjtV/pNaQEu2xz09IWu7a0Gc8qnbDiLOBT\n" \
	"jRCexue9ISR2J2YDL6v53o+Ph4Yd7EieNnkDsghpMiwsAO0i25XPzM3B34inXr6F\n" \
	"9Wd/jJUCgYEA63kvCzJLkqEju2LdoujuJPn1O4te8Irzoky/nJnzOOmUP+2VaeB7\n" \
	"k+/zgN2DZc0cpgODQgOHBzjEA65kvkJShSk4NnaAWFPK+gN6sT5VMcpYbRPp7FhE\n" \
	"qZCw4TcfT2reoodDPj1crVkj6P/XM/4K8XDRO1RarNQ0FnILVyg4eu8CgYEAwVrY\n" \
	"ymhhGmmrRG47b5bGHHHT9IpwqnhJSxiTM0Se7upIX34O7Sh4pbkdoEUsQABgQTtn\n" \
	"k7bPtvPVaovdr6U1NFRpwNH/3urTUE8szEeygMv1YuWEdgRvX4KXPxjT8/GaraAl\n" \
	"yTrMyJ5epYf7jR1q9J913ogX+3onBhsVave6vL8CgYEAvcYy5eEpCwmXVKQ/X9Y+\n" \
	"Z8qTm+OdJlu2Mu2L19gzL4EAm+0MaAIlVnsiUo80IM2H8zwNgxx4rJdRUm4wfy3Q\n" \
	"d8Vaqnoiwgz2HzzCmypTWwdq8K4F7xbMb6RPCZN1Rnoo5+//f5/Qm1ymFlhqxlpN\n" \
	"03xLBHfdhECZoiVTgnDF5D0CgYAzM+aS+z8zqmXzUimlLE08PRx+9qZNTltCariY\n" \
	"bASWii4uM4iqXvxMDpB837SPIkpbG+sa399zuHB8rZtAJ0TGnc//gtz6YD8jVkQr\n" \
	"uJTZrKlHzjXctuHzbfa1e9KtF/75GZ7IAi02t1GjDjacMP0g2JVzH6ESNE/fOw7Z\n" \
	"685kqwKBgQCT1LAHsIZF8d58E0oQkwyp0xAgZErlxnLLi0Mpk94+mV0LIggzItk9\n" \
	"W9VQohqlEKtcO7rBDonT7y+8PSwaRg6aTow8y3/RdNvVkQIpMnL4pVpg8g+0rMj1\n" \
	"0jIV1oY4nGfBtzEdAUZBWCxZBzmbDj8bt6YRaadtRUskzF/DQrhN3Q==\n" \
	"-----END RSA PRIVATE KEY-----\n"

/* 1024 bits */
#define KEY_RSA_SMALL \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAMeCJuI/MiSZVb4t\n" \
	"C8ZiqRjZVH3YtzIK9778ET5NVineG8j9Rq6yrNspC4leJq8r+0TojAtzV0KxnQO1\n" \
	"DV6RuLtCCH+sCNFQua5bLsE93fDx7Au6S3GCp91Ocejn7muWqOpP3aSAaZ8TaPM2\n" \
	"Lytwpv30NIgC0e+H7tQoaKKfOg8tAgMBAAECgYBBN1Ncm8nZWuJDY1g5BmE+RTSw\n" \
	"Wpov2pP3s1AzrHYhA4DTp69mRfPpRDaINeWxV1Awy0+UIqUAoSyxXIq9Qic/Q2n/\n" \
	"u+XwPQeINEZrr8bwwpxoLds2VNvxLqSTi9+nIaxz7MGnTqhDdhkXxUwch963GFWI\n" \
	"eY6wwHLpZyCNPgMjAQJBAOPmtkQi7wz00NwoPdDX+q493Hus/i7OxIi/lGjELObh\n" \
	"3Dmpn3NtGP3yMjff6Dcf4+sGNdcHiSQla81ih/5/TcECQQDgG0W4d58kqp7n1FY0\n" \
	"n/PIwEdthGLDqKbiSIlVUIUaTYTIBVfY1K6KnOMeBpYMf4CHSpWgXuJX10uIQRh7\n" \
	"avRtAkBFjWa42rR8DscjOYDMGO4feS+t6vjUDjR6y4UeiChv+iQ80OCh2HzVG7Jp\n" \
	"zQLQuAHV+1o5Gsqm5mjFELoSWIXBAkEAxABWO/2zHDh1fkDBnIkAh+VTEz+juYf5\n" \
	"XRMfuZQQtW5y4RV7PVLVzLlmEc6k0Q16ddkPgBE8WKMdlm+IX/itCQJARDXO4T9d\n" \
	"xniHJLAT9IO6k/NxGdLVA9beCAL94PzoloB4/X5N6PMAvymJTvOWeS4rHBp++Yvb\n" \
	"EVXaSLvsVt2zsQ==\n" \
	"-----END PRIVATE KEY-----\n"

/* RFC 7515 A.3 */
#define KEY_P256 \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n" \
	"H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n" \
	"7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n" \
	"-----END PRIVATE KEY-----\n"

/* The same in SEC 1 */
#define KEY_P256_SEC1 \
	"-----BEGIN EC PRIVATE KEY-----\n" \
	"MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n" \
	"AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n" \
	"focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n" \
	"-----END EC PRIVATE KEY-----\n"

/* On another curve */
#define KEY_P384 \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDA+XMyX1R3GMLaqLbgl\n" \
	"MvzXa2jgbRgDPUuGe0HezmINN2NgQqecC8Pf1j3FOpQ08NqhZANiAASEVPBh/He2\n" \
	"AylS1H/CU0s8FFkkR2WognAnwMlrSQaseRQddlzpklgJDgO4yFPZd3vMN8k8/XF/\n" \
	"/gbcqV/FmvbZw8KAZZWr27kgttnGRTkvtXHRb49XGq2rvPSBruMOZJU=\n" \
	"-----END PRIVATE KEY-----\n"

/* RFC 8037 A.1 */
#define KEY_ED25519 \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n" \
	"-----END PRIVATE KEY-----\n"

/* The larger one of its kind */
#define KEY_ED448 \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MEcCAQAwBQYDK2VxBDsEOVTxjNRIHtXUftD7/h5LkAWM8mkpVO5jJZFeZDUTB0Nv\n" \
	"WRYiIpapm0Tytc47l+/vqnQTuQPnVKrI1Q==\n" \
	"-----END PRIVATE KEY-----\n"

/* RFC 8037 A.1, with the public key behind it (RFC 5958) */
#define KEY_ED25519_PAIR \
	"-----BEGIN PRIVATE KEY-----\n" \
	"MFECAQEwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n" \
	"gSEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n" \
	"-----END PRIVATE KEY-----\n"

#endif
