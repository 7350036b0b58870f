// What @thaunknown/simple-peer imports from webrtc-polyfill, taken from @roamhq/wrtc. The version in package.json is
// one that simple-peer asks for, so that npm takes this for it.
import wrtc from '@roamhq/wrtc'

export const { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate } = wrtc
export default wrtc
