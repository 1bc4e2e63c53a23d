# Network adapters: by the classes behind the NetAdapter module, on Windows 7 by the old ones.

$script:PvStandardCim = 'root/StandardCimv2'
$script:PvNetClass = 'SYSTEM\CurrentControlSet\Control\Class\{4D36E972-E325-11CE-BFC1-08002BE10318}'

function Get-PvNetworkAdapter {
    try {
        $found = Get-PvModernAdapter
    } catch {
        if (-not (Test-PvNoClass $_)) {
            throw
        }
        $found = Get-PvOldAdapter
    }
    Get-PvSorted @($found) 'mac'
}

# The kernel debugger's adapter is no adapter of the guest (facts/pv-drivers.md 4).
function Test-PvOwnAdapter {
    param($Adapter)
    $null -ne $Adapter.PNPDeviceID -and -not $Adapter.PNPDeviceID.StartsWith('ROOT\', [StringComparison]::OrdinalIgnoreCase)
}

function Get-PvModernInstance {
    Get-PvInstance MSFT_NetAdapter $script:PvStandardCim | Where-Object { $_.HardwareInterface -and (Test-PvOwnAdapter $_) }
}

function Get-PvModernAdapter {
    $adapters = @(Get-PvModernInstance)
    $interfaces = @(Get-PvInstance MSFT_NetIPInterface $script:PvStandardCim)
    $addresses = @(Get-PvInstance MSFT_NetIPAddress $script:PvStandardCim)
    $statistics = @(Get-PvInstance MSFT_NetAdapterStatisticsSettingData $script:PvStandardCim)
    $settings = @(Get-PvInstance MSFT_NetAdapterAdvancedPropertySettingData $script:PvStandardCim)
    foreach ($adapter in $adapters) {
        $index = $adapter.InterfaceIndex
        $counters = @($statistics | Where-Object { $_.Name -eq $adapter.Name })
        $own = @($settings | Where-Object { $_.Name -eq $adapter.Name } | ForEach-Object { , @($_.RegistryKeyword, ($_.RegistryValue -join ',')) })
        [ordered]@{
            name           = [string] $adapter.Name
            description    = [string] $adapter.InterfaceDescription
            mac            = ConvertTo-PvMac $adapter.PermanentAddress
            instance_id    = [string] $adapter.PNPDeviceID
            up             = $adapter.InterfaceOperationalStatus -eq 1
            speed_bps      = ConvertTo-PvNumber $adapter.Speed
            # 2 is IPv4; what IP uses, not what the driver could do
            mtu            = ConvertTo-PvNumber ($interfaces | Where-Object { $_.InterfaceIndex -eq $index -and $_.AddressFamily -eq 2 } | Select-Object -First 1 -ExpandProperty NlMtu)
            addresses      = ConvertTo-PvAddresses ($addresses | Where-Object { $_.InterfaceIndex -eq $index } | ForEach-Object { $_.IPAddress })
            driver_version = [string] $adapter.DriverVersionString
            statistics     = $(if ($counters.Count) { Get-PvCounter $counters[0] } else { Get-PvNoCounter })
            settings       = ConvertTo-PvSettings $own
        }
    }
}

function Get-PvCounter {
    param($Counters)
    [ordered]@{
        received_bytes   = [long] $Counters.ReceivedBytes
        sent_bytes       = [long] $Counters.SentBytes
        received_packets = [long] ($Counters.ReceivedUnicastPackets + $Counters.ReceivedMulticastPackets + $Counters.ReceivedBroadcastPackets)
        sent_packets     = [long] ($Counters.SentUnicastPackets + $Counters.SentMulticastPackets + $Counters.SentBroadcastPackets)
        received_errors  = [long] $Counters.ReceivedPacketErrors
        sent_errors      = [long] $Counters.OutboundPacketErrors
    }
}

# An adapter that is down has no counters.
function Get-PvNoCounter {
    [ordered]@{ received_bytes = 0; sent_bytes = 0; received_packets = 0; sent_packets = 0; received_errors = 0; sent_errors = 0 }
}

# IPv6 addresses come with their zone, which is another word for the adapter.
function ConvertTo-PvAddresses {
    param($Addresses)
    $plain = [string[]] @($Addresses | Where-Object { $_ } | ForEach-Object { ($_ -split '%')[0] })
    [Array]::Sort($plain, [StringComparer]::Ordinal)
    , $plain
}

function ConvertTo-PvSettings {
    param([object[]] $Pairs)
    $named = @($Pairs | ForEach-Object { @{ keyword = $_[0]; pair = [string[]] $_ } })
    , @(Get-PvSorted $named 'keyword' | ForEach-Object { , $_.pair })
}

# -- Windows 7 and Server 2008 R2

function Get-PvOldAdapter {
    $configurations = @(Get-PvInstance Win32_NetworkAdapterConfiguration)
    $counters = @(Get-PvInstance Win32_PerfRawData_Tcpip_NetworkInterface)
    $drivers = @(Get-PvInstance Win32_PnPSignedDriver)
    foreach ($adapter in @(Get-PvOldAdapterInstance)) {
        $configuration = $configurations | Where-Object { $_.Index -eq $adapter.Index } | Select-Object -First 1
        $driver = $drivers | Where-Object { $_.DeviceID -eq $adapter.PNPDeviceID } | Select-Object -First 1
        # performance counters may not have these characters in a name
        $counted = $adapter.Name.Replace('(', '[').Replace(')', ']').Replace('#', '_').Replace('/', '_').Replace('\', '_')
        $own = @($counters | Where-Object { $_.Name -eq $counted })
        [ordered]@{
            name           = [string] $adapter.NetConnectionID
            description    = [string] $adapter.Name
            mac            = ConvertTo-PvMac $adapter.MACAddress
            instance_id    = [string] $adapter.PNPDeviceID
            up             = $adapter.NetConnectionStatus -eq 2
            speed_bps      = ConvertTo-PvNumber $adapter.Speed
            mtu            = Get-PvOldMtu $adapter.GUID
            addresses      = ConvertTo-PvAddresses $(if ($configuration) { $configuration.IPAddress })
            driver_version = $(if ($driver) { [string] $driver.DriverVersion } else { '' })
            statistics     = $(if ($own.Count) { Get-PvOldCounter $own[0] } else { Get-PvNoCounter })
            settings       = ConvertTo-PvSettings @(Get-PvOldSetting $adapter.Index)
        }
    }
}

function Get-PvOldAdapterInstance {
    Get-PvInstance Win32_NetworkAdapter | Where-Object { $_.PhysicalAdapter -and $_.MACAddress -and (Test-PvOwnAdapter $_) }
}

# Nothing there says that it is Ethernet's.
function Get-PvOldMtu {
    param([string] $Guid)
    $mtu = ConvertTo-PvNumber (Get-PvRegistryValue "SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\$Guid" 'MTU')
    $(if ($mtu) { $mtu } else { [long] 1500 })
}

function Get-PvOldCounter {
    param($Counters)
    [ordered]@{
        received_bytes   = [long] $Counters.BytesReceivedPersec
        sent_bytes       = [long] $Counters.BytesSentPersec
        received_packets = [long] $Counters.PacketsReceivedPersec
        sent_packets     = [long] $Counters.PacketsSentPersec
        received_errors  = [long] $Counters.PacketsReceivedErrors
        sent_errors      = [long] $Counters.PacketsOutboundErrors
    }
}

# The keywords an INF declares stand below Ndi\Params, their values in the adapter's class key.
function Get-PvOldSetting {
    param([int] $Index)
    $key = '{0}\{1:d4}' -f $script:PvNetClass, $Index
    foreach ($keyword in @(Get-PvRegistryKey "$key\Ndi\Params")) {
        $value = Get-PvRegistryValue $key $keyword
        if ($null -ne $value) {
            , @([string] $keyword, [string] $value)
        }
    }
}

# -- change

function Set-PvNetworkSetting {
    param([string] $Mac, [string] $Keyword, [string] $Value)
    try {
        Set-PvModernSetting -Mac $Mac -Keyword $Keyword -Value $Value
    } catch {
        if (-not (Test-PvNoClass $_)) {
            throw
        }
        Set-PvOldSetting -Mac $Mac -Keyword $Keyword -Value $Value
    }
}

function Set-PvModernSetting {
    param([string] $Mac, [string] $Keyword, [string] $Value)
    $adapter = Get-PvModernInstance | Where-Object { (ConvertTo-PvMac $_.PermanentAddress) -eq $Mac } | Select-Object -First 1
    if (-not $adapter) {
        Stop-PvOperation 'not-found' "there is no adapter $Mac"
    }
    # found by equality and handed over: as -RegistryKeyword "*RSS" would be a pattern
    $setting = Get-PvInstance MSFT_NetAdapterAdvancedPropertySettingData $script:PvStandardCim |
        Where-Object { $_.Name -eq $adapter.Name -and $_.RegistryKeyword -eq $Keyword } | Select-Object -First 1
    if (-not $setting) {
        Stop-PvOperation 'not-found' "adapter $Mac has no setting $Keyword"
    }
    Set-NetAdapterAdvancedProperty -InputObject $setting -RegistryValue $Value -Confirm:$false
}

function Set-PvOldSetting {
    param([string] $Mac, [string] $Keyword, [string] $Value)
    $adapter = Get-PvOldAdapterInstance | Where-Object { (ConvertTo-PvMac $_.MACAddress) -eq $Mac } | Select-Object -First 1
    if (-not $adapter) {
        Stop-PvOperation 'not-found' "there is no adapter $Mac"
    }
    $key = '{0}\{1:d4}' -f $script:PvNetClass, [int] $adapter.Index
    if ($Keyword -notin @(Get-PvRegistryKey "$key\Ndi\Params")) {
        Stop-PvOperation 'not-found' "adapter $Mac has no setting $Keyword"
    }
    Set-ItemProperty -LiteralPath "HKLM:\$key" -Name $Keyword -Value $Value
    foreach ($method in 'Disable', 'Enable') {
        $done = Invoke-CimMethod -InputObject $adapter -MethodName $method
        if ($done.ReturnValue -ne 0) {
            Stop-PvOperation 'command-failed' ('{0} of adapter {1} gave {2}' -f $method, $Mac, $done.ReturnValue)
        }
    }
}
